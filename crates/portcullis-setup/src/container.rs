//! What runs on a schedule: two tasks of containers, their image, and how it shows that
//! they ran well; and what runs all the time, where objects are read as they arrive.
//!
//! One task does all that a schedule has to do but end blocks: `run` reads what is new and
//! decides. It reads logs and keeps its state as one role, and changes sets as another, where
//! the mode lets it change any. `expire` is a task of its own with a role of its own: blocks
//! must end even when no log can be read, and whatever becomes of the other task.
//!
//! A run that ends well says so in one line, which a metric counts. The alarm rings when
//! nothing was counted: it sees runs that failed and runs that never were alike.

use serde_json::{Value, json};

use crate::answers::{Mode, Setup};
use crate::names::{
    APPLY_ROLE, CANARY_V4, CANARY_V6, EXPIRE_ROLE, EXPIRE_TASK, READ_ROLE, RUNNER_ROLE, SCAN_TASK,
    V4, V6, WATCH_TASK,
};
use crate::text::{Attribute, Text};
use crate::{File, Runner};

/// A task: what it runs, and as whom.
pub(crate) struct Task {
    /// Ending of its names, and Terraform's name.
    pub(crate) name: &'static str,
    /// CloudFormation's name.
    pub(crate) cloudformation: &'static str,
    /// The role that its containers have.
    pub(crate) role: Attribute,
    pub(crate) containers: Value,
    /// Task definition.
    pub(crate) definition: Attribute,
}

/// A task that a schedule starts.
pub(crate) struct Scheduled {
    pub(crate) task: Task,
    /// What a line says of a run that ended well, as a filter pattern of CloudWatch Logs.
    pub(crate) success: String,
}

/// The image and network of the tasks, where there are tasks.
pub(crate) struct Fargate<'a> {
    pub(crate) subnets: &'a [String],
    pub(crate) security_groups: &'a [String],
    pub(crate) tasks: [Scheduled; 2],
    /// What runs all the time.
    pub(crate) service: Option<Task>,
}

/// The tasks, if Fargate runs them.
pub(crate) fn fargate(setup: &Setup) -> Option<Fargate<'_>> {
    let Runner::Fargate { image, subnets, security_groups } = &setup.runner else {
        return None;
    };
    let running = container(
        setup,
        image,
        "run",
        &run_roles(setup),
        &["run", "--target", &setup.name, "--no-expire", "--output", "json"],
    );
    let watching = container(
        setup,
        image,
        "watch",
        &run_roles(setup),
        &["watch", "--target", &setup.name, "--no-expire", "--output", "json"],
    );
    let expiring = container(setup, image, "expire", &[], &["expire", "--target", &setup.name]);
    Some(Fargate {
        subnets,
        security_groups,
        tasks: [
            Scheduled {
                task: Task {
                    name: "scan",
                    cloudformation: "Scan",
                    role: RUNNER_ROLE,
                    containers: json!([running]),
                    definition: SCAN_TASK,
                },
                success: RUN_SUCCESS.to_owned(),
            },
            Scheduled {
                task: Task {
                    name: "expire",
                    cloudformation: "Expire",
                    role: EXPIRE_ROLE,
                    containers: json!([expiring]),
                    definition: EXPIRE_TASK,
                },
                success: carried_out(setup),
            },
        ],
        service: setup.watches.then(|| Task {
            name: "watch",
            cloudformation: "Watch",
            role: RUNNER_ROLE,
            containers: json!([watching]),
            definition: WATCH_TASK,
        }),
    })
}

/// What `run` says of itself at its end, when it did all that it should, but for logs that
/// could not be read or are left for the next run. Without any request in the lookback the
/// log has fallen silent, and nobody is protected by a run that ended well.
pub(crate) const RUN_SUCCESS: &str = "{ ($.exit = 0 || $.exit = 3) && $.analysis.requests > 0 }";

/// `expire` ends with a line of this in it.
fn carried_out(setup: &Setup) -> String {
    format!("\"carried out on {} (\"", setup.name)
}

/// The roles of `run`, by the variables that name them: one for logs and state, another for
/// the target. Where no set is changed, the first does for both.
pub(crate) fn run_roles(setup: &Setup) -> Vec<(&'static str, Attribute)> {
    if setup.mode.applies() {
        vec![("PORTCULLIS_ASSUME_ROLE", APPLY_ROLE), ("PORTCULLIS_SOURCE_ROLE", READ_ROLE)]
    } else {
        vec![("PORTCULLIS_ASSUME_ROLE", READ_ROLE)]
    }
}

/// What the program is told by its environment: roles, region, and the sets by their ARNs,
/// which hold their ids, so that nobody needs to list them. Sorted by name.
pub(crate) fn environment(
    setup: &Setup,
    roles: &[(&'static str, Attribute)],
) -> Vec<(&'static str, Text)> {
    let mut environment: Vec<(&str, Text)> =
        roles.iter().map(|(variable, role)| (*variable, (*role).into())).collect();
    environment.push(("PORTCULLIS_CANARY_SETS", Text::from(CANARY_V4) + "," + CANARY_V6));
    environment.push(("PORTCULLIS_REGION", Text::from(setup.region.as_str())));
    environment.push(("PORTCULLIS_SETS", Text::from(V4) + "," + V6));
    environment.sort_by_key(|(variable, _)| *variable);
    environment
}

/// A container as both languages have it; CloudFormation capitalises the keys.
fn container(
    setup: &Setup,
    image: &str,
    name: &str,
    roles: &[(&'static str, Attribute)],
    command: &[&str],
) -> Value {
    let environment: Vec<Value> = environment(setup, roles)
        .into_iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    let group = if name == "run" { "scan" } else { name };
    json!({
        "name": name,
        "image": image,
        "essential": true,
        "command": command,
        "environment": environment,
        "readonlyRootFilesystem": true,
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": setup.log_group(group),
                "awslogs-region": setup.region,
                "awslogs-stream-prefix": name,
            },
        },
    })
}

/// Seconds without a run that ended well after which the alarm rings: three runs missed.
pub(crate) fn patience_seconds(setup: &Setup) -> u32 {
    setup.every_minutes * 60 * 3
}

/// The recipe of the image: the program's own, with this setup's configuration.
pub(crate) fn files(setup: &Setup) -> Vec<File> {
    if setup.runner == Runner::Host {
        return Vec::new();
    }
    let mode = match setup.mode {
        Mode::Observe | Mode::Suggest => "plans and changes no set",
        Mode::Canary | Mode::Enforce => "plans and applies",
    };
    let version = env!("CARGO_PKG_VERSION");
    // Lambda takes one manifest for one machine, and no list with a statement of provenance.
    let (build, why) = match setup.runner {
        Runner::Lambda { .. } => (
            "docker build --platform linux/amd64 --provenance=false",
            "# Lambda takes images of one machine without a provenance beside them.\n",
        ),
        Runner::Fargate { .. } | Runner::Host => ("docker build", ""),
    };
    let text = format!(
        "# The program with the configuration of this setup, which {mode}.\n\
         #\n\
         #   {build} --tag portcullis:{version} SOURCE_OF_PORTCULLIS\n\
         #   {build} --tag IMAGE .\n\
         #\n\
         # The first command builds the program's own image from its source, the second this one.\n\
         {why}\
         FROM portcullis:{version}\n\
         COPY portcullis.toml never-block.txt /etc/portcullis/\n\
         ENV PORTCULLIS_CONFIG=/etc/portcullis/portcullis.toml\n\
         USER 65532:65532\n\
         ENTRYPOINT [\"/usr/bin/portcullis\"]\n"
    );
    vec![File::new("Dockerfile", text)]
}

//! What runs on a schedule: two tasks of containers, their image, and how it shows that
//! they ran well.
//!
//! The program has no shell beside it in its image, and one container runs one command.
//! So the task that scans has a container for each: `plan` writes a file to a volume, and
//! `apply` starts when `plan` has ended. If `plan` failed there is no file, and `apply`
//! fails too; if it read only a part of the logs, `apply` has a brake for that. Each
//! command assumes the one role it needs, so that what reads hostile logs cannot change a
//! set. `expire` is a task of its own with a role of its own: blocks must end even when no
//! log can be read.
//!
//! A run that ends well says so in one line, which a metric counts. The alarm rings when
//! nothing was counted: it sees runs that failed and runs that never were alike.

use serde_json::{Value, json};

use crate::answers::{Mode, Setup};
use crate::names::{APPLY_ROLE, CANARY_V4, CANARY_V6, PLAN_DIRECTORY, READ_ROLE, V4, V6};
use crate::text::{Attribute, Text};
use crate::{File, Runner};

/// One of the scheduled tasks.
pub(crate) struct Task {
    /// Ending of its names, and Terraform's name.
    pub(crate) name: &'static str,
    /// CloudFormation's name.
    pub(crate) cloudformation: &'static str,
    /// The role that its containers have.
    pub(crate) role: Attribute,
    /// Minutes of delay within its period, so that the two do not meet.
    pub(crate) containers: Value,
    /// Whether there is a volume for the plan.
    pub(crate) has_volume: bool,
    /// What a line says of a run that ended well, as a filter pattern of CloudWatch Logs.
    pub(crate) success: String,
    /// Task definition.
    pub(crate) definition: Attribute,
}

/// The image and network of the tasks, where there are tasks.
pub(crate) struct Fargate<'a> {
    pub(crate) subnets: &'a [String],
    pub(crate) security_groups: &'a [String],
    pub(crate) tasks: [Task; 2],
}

/// The tasks, if Fargate runs them.
pub(crate) fn fargate(setup: &Setup) -> Option<Fargate<'_>> {
    let Runner::Fargate { image, subnets, security_groups } = &setup.runner else {
        return None;
    };
    let plan = format!("{PLAN_DIRECTORY}/plan.json");
    let since = format!("{}h", setup.since_hours);
    let location = setup.log_location();
    let reading = container(
        setup,
        image,
        "plan",
        Some(READ_ROLE),
        &["plan", &location, "--since", &since, "--target", &setup.name, "--out", &plan],
    );
    let applying = container(
        setup,
        image,
        "apply",
        Some(APPLY_ROLE),
        &["apply", &plan, "--target", &setup.name],
    );
    let (scan, success) = if setup.mode.applies() {
        (one_after_the_other(reading, applying), carried_out(setup))
    } else {
        (json!([reading]), planned())
    };
    let expiring = container(setup, image, "expire", None, &["expire", "--target", &setup.name]);
    Some(Fargate {
        subnets,
        security_groups,
        tasks: [
            Task {
                name: "scan",
                cloudformation: "Scan",
                role: crate::names::RUNNER_ROLE,
                containers: scan,
                has_volume: true,
                success,
                definition: crate::names::SCAN_TASK,
            },
            Task {
                name: "expire",
                cloudformation: "Expire",
                role: crate::names::EXPIRE_ROLE,
                containers: json!([expiring]),
                has_volume: false,
                success: carried_out(setup),
                definition: crate::names::EXPIRE_TASK,
            },
        ],
    })
}

/// `apply` and `expire` end with a line of this in it.
fn carried_out(setup: &Setup) -> String {
    format!("\"carried out on {} (\"", setup.name)
}

/// `plan` ends with the plan's hash.
fn planned() -> String {
    "\"hash \"".to_owned()
}

/// The second starts when the first has ended, however it ended.
fn one_after_the_other(mut first: Value, mut second: Value) -> Value {
    first["essential"] = json!(false);
    second["dependsOn"] = json!([{"containerName": first["name"], "condition": "COMPLETE"}]);
    json!([first, second])
}

/// A container as both languages have it; CloudFormation capitalises the keys.
fn container(
    setup: &Setup,
    image: &str,
    name: &str,
    role: Option<Attribute>,
    command: &[&str],
) -> Value {
    let mut environment: Vec<(&str, Text)> = Vec::new();
    if let Some(role) = role {
        environment.push(("PORTCULLIS_ASSUME_ROLE", role.into()));
    }
    // ARNs hold the ids of the sets, so that nobody needs to list them.
    environment.push(("PORTCULLIS_CANARY_SETS", Text::from(CANARY_V4) + "," + CANARY_V6));
    environment.push(("PORTCULLIS_REGION", Text::from(setup.region.as_str())));
    environment.push(("PORTCULLIS_SETS", Text::from(V4) + "," + V6));
    let environment: Vec<Value> = environment
        .into_iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    let group = if name == "expire" { "expire" } else { "scan" };
    let mut container = json!({
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
    });
    if name != "expire" {
        container["mountPoints"] = json!([{
            "sourceVolume": "plan", "containerPath": PLAN_DIRECTORY, "readOnly": name == "apply",
        }]);
    }
    container
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
        Mode::Observe | Mode::Suggest => "plans",
        Mode::Canary | Mode::Enforce => "plans and applies",
    };
    let version = env!("CARGO_PKG_VERSION");
    let text = format!(
        "# The program with the configuration of this setup, which {mode}.\n\
         #\n\
         #   docker build --tag portcullis:{version} SOURCE_OF_PORTCULLIS\n\
         #   docker build --tag IMAGE .\n\
         #\n\
         # The first command builds the program's own image from its source, the second this one.\n\
         FROM portcullis:{version}\n\
         COPY portcullis.toml never-block.txt /etc/portcullis/\n\
         ENV PORTCULLIS_CONFIG=/etc/portcullis/portcullis.toml\n\
         USER 65532:65532\n\
         ENTRYPOINT [\"/usr/bin/portcullis\"]\n"
    );
    vec![File::new("Dockerfile", text)]
}

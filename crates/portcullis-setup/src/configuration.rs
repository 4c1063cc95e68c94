//! `portcullis.toml` and the list of networks that are never blocked.

use std::fmt::Write as _;

use crate::File;
use crate::answers::{Runner, Setup};
use crate::front::Front;
use crate::names::SETS;

pub(crate) fn files(setup: &Setup) -> Vec<File> {
    let mut files = vec![
        File::new("portcullis.toml", configuration(setup)),
        File::new("never-block.txt", never_block(setup)),
    ];
    if let Front::Stage { .. } = setup.front {
        files.push(File::new("stage-access-log.json", stage_patch(setup)));
    }
    files
}

fn configuration(setup: &Setup) -> String {
    let Setup { name, account, region, .. } = setup;
    let names = |canary: bool| {
        let names: Vec<String> = SETS
            .iter()
            .filter(|set| set.ending.starts_with("canary") == canary)
            .map(|set| format!("\"{}\"", setup.named(set.ending)))
            .collect();
        names.join(", ")
    };
    let how_sets_are_named = match setup.runner {
        Runner::Fargate { .. } | Runner::Lambda { .. } => {
            "# What the schedule starts is given the ARNs of the sets in PORTCULLIS_SETS, which wins\n\
             # over the names here.\n"
        }
        Runner::Host => {
            "# The roles may not list sets. PORTCULLIS_SETS and PORTCULLIS_CANARY_SETS, two of the\n\
             # outputs of the infrastructure, hold their ARNs and win over the names here.\n"
        }
    };
    let queue = if setup.watches {
        format!("# What `portcullis watch` is told by.\nqueue = \"{}\"\n", setup.queue_url())
    } else {
        String::new()
    };
    let mode = setup.mode.name();
    let scope = setup.scope();
    let looked_at = match &setup.front {
        Front::Stage { api_id, stage } => {
            format!("# What `portcullis doctor` looks at.\nstage = \"{api_id}/{stage}\"\n")
        }
        Front::Distribution { id } => format!(
            "# The web ACL is a setting of the distribution {id}, at which `portcullis doctor`\n\
             # cannot look.\n"
        ),
    };
    format!(
        "# Networks of yours and of your partners.\n\
         never-block = [\"never-block.txt\"]\n\
         \n\
         # What `portcullis run` reads. What it read is kept below the ledger, with a lock and a\n\
         # heartbeat beside it; the role that reads logs may write these three and nothing else.\n\
         # Reading ends at three quarters of the deadline, which is shorter than the schedule.\n\
         [source]\n\
         location = \"{}\"\n\
         region = \"{region}\"\n\
         state = \"{}\"\n\
         lookback = \"{}h\"\n\
         deadline = \"{}m\"\n\
         {queue}\
         \n\
         [[target]]\n\
         name = \"{name}\"\n\
         account = \"{account}\"\n\
         region = \"{region}\"\n\
         scope = \"{scope}\"\n\
         {how_sets_are_named}\
         sets = [{}]\n\
         canary-sets = [{}]\n\
         ledger = \"{}\"\n\
         # observe, suggest, canary or enforce. The role that applies may change the sets of the\n\
         # mode it was made for: run `portcullis init` again to change the mode.\n\
         mode = \"{mode}\"\n\
         {looked_at}",
        setup.log_location(),
        setup.state_location(),
        setup.since_hours,
        setup.deadline_minutes(),
        names(false),
        names(true),
        setup.ledger_location(),
    )
}

fn never_block(setup: &Setup) -> String {
    let mut text =
        "# Networks that are never blocked, one a line: your offices, your monitors, your\n\
                    # partners, the addresses your own services call from.\n"
            .to_owned();
    for network in &setup.never_block {
        let _ = writeln!(text, "{network}");
    }
    text
}

/// The log setting of the stage, as `aws apigateway update-stage` takes it.
fn stage_patch(setup: &Setup) -> String {
    let stream = format!(
        "arn:{}:firehose:{}:{}:deliverystream/{}",
        setup.partition(),
        setup.region,
        setup.account,
        setup.stream()
    );
    let replace = |path: &str, value: &str| serde_json::json!({"op": "replace", "path": path, "value": value});
    let patch = [
        replace("/accessLogSettings/destinationArn", &stream),
        replace("/accessLogSettings/format", crate::log_format()),
    ];
    let text = serde_json::to_string_pretty(&patch).expect("strings are JSON");
    text + "\n"
}

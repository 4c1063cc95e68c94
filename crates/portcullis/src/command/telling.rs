//! Tells what a round came to: on stdout, in numbers, and to people.
//!
//! Who cannot be told must not stop the others, nor undo what the round did; it makes the
//! round a failed one, because a silent alarm is none.

use portcullis_aws::{Connection, NotSent, Topic, Webhook};

use super::round::Round;
use super::written::write_whole;
use super::{inert, print, read_option_file};
use crate::args::{Access, Reporting, Shape, Watched};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{metrics, notice::Notice};

/// Tells everybody that is to be told, and gives how the round ended.
pub(super) fn tell(
    mut round: Round<'_>,
    last_good: Option<i64>,
    watched: &Watched,
    shape: Shape,
) -> Result<Exit, Failure> {
    let reporting = &watched.reporting;
    if let Some(notice) = Notice::of(&round.summary) {
        // Whoever reads the logs knows where the bucket is, and the topic is beside it.
        for failure in told(&notice, reporting, &watched.logs(Vec::new()).access) {
            round.problem(&failure);
        }
    }
    if let Some(path) = &reporting.metrics {
        let text = metrics::prometheus(&round.summary, last_good);
        if let Err(failure) = write_whole(path, text.as_bytes(), "the metrics") {
            round.problem(&failure);
        }
    }
    match shape {
        Shape::Human => print(round.summary.line().as_bytes())?,
        Shape::Json => print(&round.summary.json())?,
    };
    if reporting.emf {
        print(metrics::embedded(&round.summary).as_bytes())?;
    }
    Ok(round.summary.exit)
}

/// Sends a notice everywhere; gives what failed.
fn told(notice: &Notice, reporting: &Reporting, access: &Access) -> Vec<Failure> {
    let Reporting { webhook_file, topic, .. } = reporting;
    if webhook_file.is_none() && topic.is_none() {
        return Vec::new();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return vec![Failure::new("tell people", &error)],
    };
    let mut failures = Vec::new();
    let failed = |whom: String, error: &NotSent| {
        Failure::because(format!("tell {whom}"), inert(&error.to_string()))
    };
    if let Some(path) = webhook_file {
        let whom = || format!("the webhook of `{}`", inert(&path.to_string_lossy()));
        let sent = read_option_file(path, "the webhook's address in").and_then(|address| {
            let webhook = Webhook::parse(&address).map_err(|error| failed(whom(), &error))?;
            runtime.block_on(webhook.post(notice.slack())).map_err(|error| failed(whom(), &error))
        });
        failures.extend(sent.err());
    }
    if let Some(arn) = topic {
        let sent = runtime.block_on(async {
            let connection = Connection::open(&access.options()).await;
            Topic::new(&connection, arn).publish(&notice.subject, &notice.text()).await
        });
        let whom = format!("the topic `{}`", inert(arn));
        failures.extend(sent.err().map(|error| failed(whom, &error)));
    }
    failures
}

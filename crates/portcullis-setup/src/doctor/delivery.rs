//! From the stage to the bucket: whether what is logged can be read, and shows enough.
//!
//! Sources: API Gateway guide, "Set up logging"; Firehose API reference,
//! `DescribeDeliveryStream`.

use portcullis_ingest::Field;

use super::facts::{Answer, Expected, Facts, Grade, Stage, Stream};
use super::{Check, Verdict};

/// What the name of a stream must begin with, or API Gateway does not accept it.
const STREAM_PREFIX: &str = "amazon-apigateway-";

/// Longest time that a record should wait in the stream, in seconds. A guess: five minutes
/// are what Firehose takes when nobody says anything, and an attack is over before that.
const LONGEST_INTERVAL: u32 = 120;

/// Compressions that the program reads, other than none.
const COMPRESSIONS: [&str; 4] = ["GZIP", "ZIP", "Snappy", "HADOOP_SNAPPY"];

/// The line that is logged with everything in it.
const RECOMMENDED: &str = "portcullis formats check FORMAT prints the line to log instead; init \
                           writes it into stage-access-log.json";

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    let mut checks = Vec::new();
    match known(
        "stage",
        &facts.stage,
        "name the stage of a REST API: an HTTP API can have neither \
        a web ACL nor Firehose as the destination of its access log",
    ) {
        Err(check) => checks.push(check),
        Ok(stage) => {
            let Stage { api_id, name, .. } = stage;
            checks.push(Check::good("stage", format!("{api_id}/{name} is there")));
            checks.push(destination(stage));
            if stage.log_format.is_some() {
                checks.extend(format(&facts.grade, &facts.expected));
            }
        }
    }
    match known("stream", &facts.stream, "make the stream, or send the log to one that is there") {
        Err(check) => checks.push(check),
        Ok(stream) => checks.extend(delivery(stream, &facts.expected)),
    }
    checks
}

/// The fact, or the check that says why there is none.
pub(super) fn known<'f, Fact>(
    name: &'static str,
    answer: &'f Answer<Fact>,
    if_missing: &str,
) -> Result<&'f Fact, Check> {
    Err(match answer {
        Answer::Known(fact) => return Ok(fact),
        Answer::Missing(detail) => Check::bad(name, detail, if_missing),
        Answer::Denied { permission, detail } => Check::unknown(
            name,
            format!("not allowed to ask: {detail}"),
            format!("allow it: {}", permission.statement()),
        ),
        Answer::Failed(detail) => {
            Check::unknown(name, detail, "see that AWS can be reached from here, and try again")
        }
        Answer::NotAsked(why) => Check::unknown(name, "not asked", why),
    })
}

fn destination(stage: &Stage) -> Check {
    let name = "access-log";
    let Some(arn) = &stage.log_destination else {
        return Check::bad(
            name,
            "the stage writes no access log",
            "set its destination to a delivery stream: portcullis init writes the command",
        );
    };
    let resource = arn.splitn(6, ':').nth(5).unwrap_or_default();
    match resource.strip_prefix("deliverystream/") {
        Some(stream) => Check::good(name, format!("the access log goes to {stream}")),
        None => Check::bad(
            name,
            format!("the access log goes to {arn}, which is no delivery stream"),
            "send it to a delivery stream; or subscribe one to the log group, whose objects are \
             read too",
        ),
    }
}

fn format(grade: &Answer<Grade>, expected: &Expected) -> Vec<Check> {
    let name = "log-format";
    let grade = match known(name, grade, RECOMMENDED) {
        Ok(grade) => grade,
        Err(check) => return vec![Check { verdict: Verdict::Bad, ..check }],
    };
    let seeing = format!("{} of {} rules can look", grade.seeing, grade.rules);
    let mut checks = Vec::new();
    let needed = [
        (Field::Client, "nothing can be held against anyone"),
        (Field::Time, "no rate can be measured"),
        (Field::Path, "what a request asks for is not seen"),
    ];
    for (field, what) in needed.into_iter().filter(|(field, _)| grade.lacks(*field)) {
        checks.push(Check::bad(name, format!("it lacks {}: {what}", field.name()), RECOMMENDED));
    }
    if checks.is_empty() && grade.curable.is_empty() {
        checks.push(Check::good(name, seeing));
    } else if !grade.curable.is_empty() {
        let lacks: Vec<String> =
            grade.curable.iter().map(|(what, rules)| format!("{what} ({rules})")).collect();
        let finding = format!("{seeing}; for want of {}, others are blind", lacks.join(", "));
        checks.push(Check::warning(name, finding, RECOMMENDED));
    }
    for (field, what) in [
        (
            Field::Id,
            "a record that is delivered twice counts twice, and AWS WAF's log is not joined",
        ),
        (Field::UserAgent, "scanners that say what they are go unseen"),
        (
            Field::WafAction,
            "a block is never prolonged, because vain tries cannot be told from news",
        ),
    ] {
        // Either of the two tells what AWS WAF turned away.
        let is_told = field == Field::WafAction && !grade.lacks(Field::ErrorType);
        if grade.lacks(field) && !is_told {
            let finding = format!("it lacks {}: {what}", field.name());
            checks.push(Check::warning("log-fields", finding, RECOMMENDED));
        }
    }
    if !expected.trusted_proxies.is_empty() && grade.lacks(Field::ForwardedFor) {
        checks.push(Check::bad(
            "log-fields",
            "trusted proxies are configured, and the format has no X-Forwarded-For: the client is \
             the proxy",
            "no API Gateway access log carries that header; join AWS WAF's log by --join-waf",
        ));
    }
    for problem in &grade.problems {
        checks.push(Check::warning("log-format", problem, RECOMMENDED));
    }
    checks
}

fn delivery(stream: &Stream, expected: &Expected) -> Vec<Check> {
    let mut checks = Vec::new();
    if stream.status == "ACTIVE" {
        checks.push(Check::good("stream", format!("{} is active", stream.name)));
    } else {
        let finding = format!("{} is {}", stream.name, stream.status);
        checks.push(Check::bad("stream", finding, "see in the console why it is not active"));
    }
    if !stream.name.starts_with(STREAM_PREFIX) {
        checks.push(Check::bad(
            "stream-name",
            format!("{} does not begin with {STREAM_PREFIX}", stream.name),
            "API Gateway delivers to no other: make a stream of such a name",
        ));
    }
    let Some(bucket) = &stream.bucket else {
        checks.push(Check::bad(
            "stream-destination",
            "the stream does not deliver to a bucket",
            "give it an S3 destination; portcullis reads nothing else",
        ));
        return checks;
    };
    checks.push(Check::good("stream-destination", format!("it delivers to {}", bucket.arn)));
    checks.extend(expected.location.as_deref().map(|location| source(location, &bucket.arn)));
    let compression = bucket.compression.as_str();
    checks.push(if COMPRESSIONS.contains(&compression) {
        Check::good("compression", compression)
    } else {
        Check::warning(
            "compression",
            format!("{compression}: logs are some ten times as large as they need be"),
            "set the compression to GZIP",
        )
    });
    let (seconds, size) = (bucket.interval_seconds, bucket.size_mib);
    let buffering = format!("records wait up to {seconds} s or {size} MiB");
    checks.push(if seconds > LONGEST_INTERVAL {
        let fix = "set the buffer interval to 60 s: nobody is blocked before the record is there";
        Check::warning("buffering", buffering, fix)
    } else {
        Check::good("buffering", buffering)
    });
    checks
}

/// Whether what is read is what is written: a run over another bucket ends well, and sees
/// nothing of the stage.
fn source(location: &str, written: &str) -> Check {
    let bucket = written.rsplit(':').next().unwrap_or_default();
    let read = location.strip_prefix("s3://").and_then(|path| path.split('/').next());
    if read == Some(bucket) {
        return Check::good("source", format!("{location} is read"));
    }
    Check::bad(
        "source",
        format!("{location} is read, and the stream delivers to {bucket}"),
        format!("set location in [source] to s3://{bucket}/ and the prefix of the stream"),
    )
}

//! The verdict on one request as one line of JSON: the shape that `classify` promises.

use portcullis_detection::{Category, RuleSet, Verdict};
use portcullis_ingest::Request;

use crate::output::json::{Object, Secrets};

/// Appends the verdict to `out`.
pub fn write(out: &mut Vec<u8>, request: &Request<'_>, verdict: &Verdict, rules: &RuleSet) {
    let mut object = Object::open(out, Secrets::Hidden);
    object.untrusted("id", request.id);
    object.display("client", request.client);
    object.display("time", request.time);
    object.boolean("flagged", verdict.flagged());
    object.number("score", verdict.score());
    object
        .texts("categories", verdict.categories().iter().map(|category| Category::name(*category)));
    object.texts("rules", verdict.hits().iter().map(|hit| rules.rules()[hit.rule].id()));
    object.close();
}

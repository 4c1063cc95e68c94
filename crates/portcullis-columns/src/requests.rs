//! Requests as rows.

use portcullis_detection::{Outcome, RuleSet, Verdict};
use portcullis_ingest::{Request, Untrusted, WafAction, source_network};
use portcullis_review::source;

use crate::table::Table;

/// What is said of a request besides what its log tells.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'v> {
    /// What its signatures are.
    pub verdict: &'v Verdict,
    /// The rules that the verdict is of.
    pub rules: &'v RuleSet,
}

/// Adds a request to a table of [`crate::REQUESTS`].
pub fn push_request(table: &mut Table, request: &Request<'_>, judged: Judged<'_>) {
    let Judged { verdict, rules } = judged;
    let client = request.client.map(|client| client.to_string());
    let source = request.client.map(|client| source(source_network(client)));
    let ids = verdict.hits().iter().map(|hit| rules.rules()[hit.rule].id());
    let fired = (!verdict.hits().is_empty()).then(|| ids.collect::<Vec<_>>().join(" "));
    let mut row = table.row().untrusted(request.id).time(request.time);
    row = row.text(source.as_deref()).text(client.as_deref());
    for field in [request.method, request.path, request.query, request.route] {
        row = row.untrusted(field);
    }
    row = row.integer(request.status.map(u64::from));
    for field in [request.user_agent, request.host, request.referer, request.protocol] {
        row = row.untrusted(field);
    }
    row = row.integer(request.response_bytes).integer(request.latency_ms);
    let Request { api_id, stage, api_key_id, principal, error_type, .. } = *request;
    for field in [api_id, stage, api_key_id, principal, error_type] {
        row = row.untrusted(field);
    }
    row = row.text(request.waf_action.map(WafAction::name));
    let Request { waf_rule, waf_labels, ja3, ja4, country, forwarded_for, .. } = *request;
    for field in [waf_rule, waf_labels, ja3, ja4, country, forwarded_for] {
        row = row.untrusted(field);
    }
    row.text(Some(Outcome::of(request).name()))
        .integer(Some(u64::from(verdict.score())))
        .boolean(verdict.flagged())
        .text(fired.as_deref())
        .untrusted(Some(Untrusted::new(request.origin.object.as_bytes())))
        .integer(Some(request.origin.offset))
        .end();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{REQUESTS, Value};

    #[test]
    fn a_row_is_the_request_and_its_verdict() {
        let rules = RuleSet::builtin();
        let mut scan = portcullis_detection::Scan::new(&rules);
        let text = |text: &'static str| Some(Untrusted::new(text.as_bytes()));
        let request = Request {
            id: text("id-1"),
            time: portcullis_ingest::Timestamp::from_epoch_ms(1_762_247_520_123),
            client: Some("2001:db8::7".parse().expect("an address")),
            path: text("/prod/../../../etc/passwd"),
            query: text("token=c4naryc4nary"),
            status: Some(200),
            ..Request::default()
        };
        let mut table = Table::new(&REQUESTS);
        let verdict = scan.observe(&request);
        push_request(&mut table, &request, Judged { verdict, rules: &rules });
        let cell = |name| table.column(name).next().expect("a row");
        assert_eq!(cell("time"), Value::Integer(1_762_247_520_123));
        assert_eq!(cell("source"), Value::Text("2001:db8::/64"));
        assert_eq!(cell("client"), Value::Text("2001:db8::7"));
        assert_eq!(cell("query"), Value::Text("token=[redacted]"));
        assert_eq!(cell("status"), Value::Integer(200));
        assert_eq!(cell("outcome"), Value::Text("answered"));
        assert_eq!(cell("flagged"), Value::Boolean(true));
        assert_eq!(cell("user_agent"), Value::Absent);
        let Value::Text(fired) = cell("rules") else { panic!("no rule fired") };
        assert!(fired.contains("lfi/system-account-files"), "{fired}");
    }
}

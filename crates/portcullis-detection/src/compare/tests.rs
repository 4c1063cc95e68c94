use portcullis_ingest::{Origin, Untrusted};

use super::*;

fn rules(literals: &[(&str, &str)]) -> RuleSet {
    let files = literals.iter().map(|(id, literal)| {
        let text = format!(
            "id = \"other/{id}\"\ntitle = \"t\"\ncategory = \"other\"\nseverity = \"high\"\n\
             confidence = \"high\"\nmisses = \"m\"\n[signature]\nfields = [\"path\"]\n\
             contains = [\"{literal}\"]\n"
        );
        let example = |name: &str, path: &str, fires: bool| {
            format!(
                "[[example]]\nname = \"{name}\"\nrequest = {{ path = \"{path}\" }}\n\
                 fires = {fires}\n"
            )
        };
        let examples = [
            example("a", literal, true),
            example("b", &format!("/x{literal}"), true),
            example("c", "/", false),
            example("d", "/-", false),
        ];
        (format!("other/{id}.toml"), text + &examples.concat())
    });
    RuleSet::load(files).unwrap_or_else(|errors| panic!("{errors}"))
}

/// `(last byte of the client, path, status)`.
type Event = (u8, &'static str, u16);

fn compared(old: &RuleSet, new: &RuleSet, parts: &[&[(usize, Event)]]) -> Difference {
    let mut whole = Comparison::new(old, new);
    for part in parts {
        let mut comparison = Comparison::new(old, new);
        for (offset, (client, path, status)) in *part {
            comparison.observe(&Request {
                client: Some([192, 0, 2, *client].into()),
                path: Some(Untrusted::new(path.as_bytes())),
                status: Some(*status),
                origin: Origin { object: "o", offset: *offset as u64 },
                ..Request::default()
            });
        }
        whole.merge(comparison);
    }
    whole.finish()
}

const EVENTS: [Event; 6] = [
    (1, "/old", 404),
    (2, "/new", 200),
    (2, "/fine", 200),
    (2, "/fine", 304),
    (3, "/both", 404),
    (4, "/fine", 200),
];

fn numbered() -> Vec<(usize, Event)> {
    EVENTS.into_iter().enumerate().collect()
}

#[test]
fn harm_is_the_good_requests_of_those_newly_accused() {
    let old = rules(&[("kept", "/both"), ("gone", "/old")]);
    let new = rules(&[("kept", "/both"), ("fresh", "/new")]);
    let found = compared(&old, &new, &[&numbered()]);
    let expected = Totals {
        requests: 6,
        good_requests: 4,
        flagged_old: 2,
        flagged_new: 2,
        flagged_added: 1,
        flagged_dropped: 1,
        good_flagged: 1,
        good_behind: 2,
    };
    assert_eq!(found.totals, expected);
    let rule = |id: &str| found.rules.iter().find(|rule| &*rule.rule == id).expect(id);
    let fresh = rule("other/fresh");
    assert_eq!((fresh.change, fresh.harm()), (RuleChange::Added, 3));
    assert_eq!(fresh.added.as_ref().map(|added| added.evidence[0].offset), Some(1));
    let gone = rule("other/gone");
    assert_eq!((gone.change, gone.harm(), gone.flagged_dropped), (RuleChange::Removed, 0, 1));
    assert_eq!(rule("other/kept").change, RuleChange::Same);
    let sources: Vec<_> = found.sources.iter().map(|one| one.source.to_string()).collect();
    assert_eq!(sources, ["192.0.2.2/32", "192.0.2.1/32"]);
    assert!(found.sources[0].is_added() && found.sources[1].is_dropped());
}

#[test]
fn order_and_split_do_not_show() {
    let old = rules(&[("kept", "/both"), ("one", "/old")]);
    let new = rules(&[("kept", "/both"), ("one", "/new")]);
    let whole = format!("{:?}", compared(&old, &new, &[&numbered()]));
    for turn in 0..EVENTS.len() {
        let mut events = numbered();
        events.rotate_left(turn);
        let (left, right) = events.split_at(turn);
        assert_eq!(format!("{:?}", compared(&old, &new, &[right, left])), whole, "{turn}");
    }
}

#[test]
fn the_same_rules_change_nothing() {
    let rules = rules(&[("kept", "/both"), ("one", "/old")]);
    let found = compared(&rules, &rules, &[&numbered()]);
    assert!(found.sources.is_empty());
    assert_eq!((found.totals.flagged_added, found.totals.harm()), (0, 0));
    assert!(found.rules.iter().all(|rule| rule.added.is_none() && rule.dropped.is_none()));
}

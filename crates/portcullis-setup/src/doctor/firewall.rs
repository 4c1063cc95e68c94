//! From an IP set to a request that is turned away: whether a rule uses the set, comes in
//! time, and compares the address that the program blocks.
//!
//! A web ACL asks its rules by priority, and a rule that allows ends the matter. So a set
//! does something only if a rule with the right action matches on it alone, and no rule
//! before that one lets in more than certain addresses. Rules of one's own groups stand where
//! the group stands; the reference may turn their actions into counts.
//!
//! Sources: AWS WAF Developer Guide, "Web ACL rule and rule group evaluation", "Using
//! forwarded IP addresses", "AWS WAF quotas" (10,000 entries in a set).

use super::Check;
use super::delivery::known;
use super::facts::{
    Action, Expected, Facts, Forwarded, Position, Rule, SetFacts, Statement, WebAcl,
};
use crate::answers::Mode;

/// Most entries of a set.
const MOST_ENTRIES: usize = 10_000;

/// Entries from which on a set is nearly full.
const MANY_ENTRIES: usize = 8_000;

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    let mut checks = Vec::new();
    let acl = match known("web-acl", &facts.web_acl, "associate a web ACL with the stage") {
        Ok(Some(acl)) => {
            checks.push(Check::good("web-acl", format!("{} stands before the stage", acl.name)));
            Some(acl)
        }
        Ok(None) => {
            checks.push(Check::bad(
                "web-acl",
                "no web ACL stands before the stage: blocks do nothing",
                "associate one: aws wafv2 associate-web-acl, or portcullis init",
            ));
            None
        }
        Err(check) => {
            checks.push(check);
            None
        }
    };
    let fix = "make the sets, empty, and rules that use them: portcullis init writes both";
    match known("sets", &facts.sets, fix) {
        Err(check) => checks.push(check),
        Ok(sets) => {
            if let Some(acl) = acl {
                checks.extend(rules(acl, sets, &facts.expected));
            }
            checks.extend(room(sets, &facts.expected));
        }
    }
    checks
}

/// A rule where it is asked, with what it really does.
struct Asked<'f> {
    name: String,
    action: Action,
    statement: &'f Statement,
}

/// How a statement depends on a set.
enum Use<'f> {
    /// Its addresses match.
    Alone(Option<&'f Forwarded>),
    /// They match if something else does too.
    WithMore,
}

fn rules(acl: &WebAcl, sets: &[SetFacts], expected: &Expected) -> Vec<Check> {
    let mut checks = Vec::new();
    let asked = match in_order(&acl.rules) {
        Ok(asked) => asked,
        Err(check) => return vec![check],
    };
    let wanted = |names: &'_ [String], action| {
        let of_set = |set: &&SetFacts| names.contains(&set.name);
        sets.iter().filter(of_set).map(move |set| (set, action)).collect::<Vec<_>>()
    };
    let blocking = wanted(&expected.sets, Action::Block);
    let counting = wanted(&expected.canary_sets, Action::Count);
    let mut first = asked.len();
    for (set, action) in blocking.into_iter().chain(counting) {
        let uses = asked.iter().enumerate().filter_map(|(place, rule)| {
            used(rule.statement, &set.arn).map(|how| (place, rule, how))
        });
        let mut uses: Vec<_> = uses.collect();
        uses.sort_by_key(|(_, rule, how)| (rule.action != action, matches!(how, Use::WithMore)));
        match uses.first() {
            Some((place, rule, Use::Alone(forwarded))) if rule.action == action => {
                let verb = verb(action);
                let finding = format!("{} is used by {}, which {verb}", set.name, rule.name);
                checks.push(Check::good("set-used", finding));
                first = first.min(*place);
                checks.extend(address(rule, *forwarded, expected));
            }
            Some((_, rule, how)) => {
                let why = match how {
                    Use::WithMore => "matches only if something else does too".to_owned(),
                    Use::Alone(_) => verb(rule.action).to_owned(),
                };
                checks.push(Check::bad(
                    "set-used",
                    format!("{} is used by {}, which {why}", set.name, rule.name),
                    format!("use it in a rule by itself that {}", verb(action)),
                ));
            }
            None => checks.push(Check::bad(
                "set-used",
                format!("no rule of {} uses {}: what is in it does nothing", acl.name, set.name),
                format!("add a rule that {} what is in {}", verb(action), set.arn),
            )),
        }
    }
    let broad = asked[..first].iter().filter(|rule| rule.action == Action::Allow);
    for rule in broad.filter(|rule| first < asked.len() && !is_of_addresses(rule.statement)) {
        checks.push(Check::bad(
            "rule-order",
            format!("{} lets requests in before our rules are asked", rule.name),
            "give our rules a lower priority number than every rule that allows broadly",
        ));
    }
    checks
}

const fn verb(action: Action) -> &'static str {
    match action {
        Action::Allow => "allows",
        Action::Block => "blocks",
        Action::Count => "counts",
        Action::Challenge => "challenges",
    }
}

/// The rules in the order in which they are asked, groups unfolded; or why that is not known.
fn in_order(rules: &[Rule]) -> Result<Vec<Asked<'_>>, Check> {
    let mut by_priority: Vec<&Rule> = rules.iter().collect();
    by_priority.sort_by_key(|rule| rule.priority);
    let mut asked = Vec::new();
    for rule in by_priority {
        let Statement::Group { arn, rules, counts, overrides } = &rule.statement else {
            if let Some(action) = rule.action {
                let (name, statement) = (rule.name.clone(), &rule.statement);
                asked.push(Asked { name, action, statement });
            }
            continue;
        };
        let missing = format!("the rule group {arn} is gone");
        let inside = in_order(known("rule-group", rules, &missing)?)?;
        asked.extend(inside.into_iter().map(|inner| {
            let instead = overrides.iter().find(|(name, _)| *name == inner.name);
            let action = match instead {
                _ if *counts => Action::Count,
                Some((_, action)) => *action,
                None => inner.action,
            };
            Asked { name: format!("{}/{}", rule.name, inner.name), action, ..inner }
        }));
    }
    Ok(asked)
}

/// How a statement depends on a set, if it does.
fn used<'f>(statement: &'f Statement, set: &str) -> Option<Use<'f>> {
    match statement {
        Statement::Set { arn, forwarded } => (arn == set).then_some(Use::Alone(forwarded.as_ref())),
        Statement::Any(parts) => parts.iter().find_map(|part| used(part, set)),
        Statement::All(parts) => {
            parts.iter().find_map(|part| used(part, set)).map(|_| Use::WithMore)
        }
        Statement::Group { .. } | Statement::Other => None,
    }
}

/// Whether only certain addresses match.
fn is_of_addresses(statement: &Statement) -> bool {
    match statement {
        Statement::Set { .. } => true,
        Statement::Any(parts) => parts.iter().all(is_of_addresses),
        Statement::All(parts) => parts.iter().any(is_of_addresses),
        Statement::Group { .. } | Statement::Other => false,
    }
}

/// Whether the rule compares the address that the program blocks.
fn address(rule: &Asked<'_>, forwarded: Option<&Forwarded>, expected: &Expected) -> Option<Check> {
    let name = "forwarded-ip";
    let trusts = !expected.trusted_proxies.is_empty();
    let Some(Forwarded { header, position, matches_without }) = forwarded else {
        return trusts.then(|| {
            Check::bad(
                name,
                format!(
                    "{} compares the peer of the connection, and clients behind trusted proxies \
                     are blocked by X-Forwarded-For: no block matches",
                    rule.name
                ),
                "set the rule's forwarded IP configuration to X-Forwarded-For, position ANY",
            )
        });
    };
    if !trusts {
        return Some(Check::bad(
            name,
            format!(
                "{} compares {header}, and the program blocks the peer of the connection",
                rule.name
            ),
            "name the proxies in [scan] trusted-proxies, or take the configuration out of the rule",
        ));
    }
    if !header.eq_ignore_ascii_case("x-forwarded-for") {
        return Some(Check::bad(
            name,
            format!("{} compares {header}, and the program reads X-Forwarded-For", rule.name),
            "set the rule's header to X-Forwarded-For",
        ));
    }
    if *matches_without {
        return Some(Check::bad(
            name,
            format!("{} matches every request without {header}", rule.name),
            "set the fallback behaviour to NO_MATCH",
        ));
    }
    Some(if *position == Position::First {
        Check::warning(
            name,
            format!("{} compares the leftmost address of {header}, which clients write", rule.name),
            "set the position to ANY: who writes another address in front is let in",
        )
    } else {
        Check::good(name, format!("{} compares {header}", rule.name))
    })
}

/// Whether there are sets of both families, with room.
fn room(sets: &[SetFacts], expected: &Expected) -> Vec<Check> {
    let mut checks = Vec::new();
    let names = match expected.mode {
        Mode::Canary => &expected.canary_sets,
        Mode::Observe | Mode::Suggest | Mode::Enforce => &expected.sets,
    };
    for (is_v6, family) in [(false, "IPv4"), (true, "IPv6")] {
        if !sets.iter().any(|set| set.is_v6 == is_v6 && names.contains(&set.name)) {
            checks.push(Check::warning(
                "families",
                format!("no set takes {family}: such clients are never blocked"),
                format!("make a set for {family}, use it in the rule, and name it in the target"),
            ));
        }
    }
    for SetFacts { name, entries, .. } in sets {
        let finding = format!("{name} holds {entries} of {MOST_ENTRIES} entries");
        let fix = "add a set to the target, and to the rule";
        checks.push(match *entries {
            MOST_ENTRIES.. => Check::bad("capacity", finding, fix),
            MANY_ENTRIES.. => Check::warning("capacity", finding, fix),
            _ => Check::good("capacity", finding),
        });
    }
    checks
}

//! Suggests what to do where blocking an address would hit the wrong people.
//!
//! Behind a shared address, or spread over a thousand, the one that does harm still has
//! a name: its API key, or what the authorizer calls it. Acting on that name hurts
//! nobody else. Portcullis does not do it; it says whose, and why.
//!
//! A suggestion names a key by its id, never by its secret, which no log holds. An id
//! that is more than plain letters, digits and `-_.:@|/=+` could carry something that
//! acts; it is shown as the beginning of its SHA-256 instead.

use std::collections::BTreeSet;
use std::fmt;

use ipnet::IpNet;
use portcullis_detection::{Findings, Key, Suspect};
use sha2::{Digest, Sha256};

use crate::decision::{Decision, Outcome, Withheld};
use crate::ipset::hexadecimal;
use crate::policy::BlockPolicy;

/// Longest id that is shown, in bytes. An API Gateway key's has 10, a principal's may be
/// an ARN.
const MOST_ID_BYTES: usize = 128;

/// Whom to act on instead of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Handle {
    /// The id of an API key.
    ApiKey,
    /// A caller, as the authorizer names it.
    Principal,
}

impl Handle {
    /// The handle's name in outputs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ApiKey => "api-key",
            Self::Principal => "principal",
        }
    }
}

/// Somebody to act on other than by address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// By what.
    pub handle: Handle,
    /// Its id, or `sha256:` and 16 digits of one that is not plain.
    pub id: String,
    /// The score of what speaks against it, in points.
    pub score: u32,
    /// Ids of the rules that fired, the weightiest first.
    pub rules: Vec<String>,
    /// Requests that the rules counted.
    pub requests: u64,
    /// Different clients among them.
    pub clients: u64,
    /// Sources it was seen at that the plan leaves alone because honest users share
    /// them, in order.
    pub shared_sources: Vec<IpNet>,
}

/// `throttle API key a1b2c3d4e5 in its usage plan, or disable it: rate/key-flood (412
/// requests from 3 clients)`.
impl fmt::Display for Suggestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { handle, id, requests, clients, .. } = self;
        match handle {
            Handle::ApiKey => {
                write!(f, "throttle API key {id} in its usage plan, or disable it: ")?;
            }
            Handle::Principal => write!(f, "throttle or suspend principal {id}: ")?,
        }
        let rules = self.rules.join(", ");
        let word = if *clients == 1 { "client" } else { "clients" };
        write!(f, "{rules} ({requests} requests from {clients} {word}")?;
        match &self.shared_sources[..] {
            [] => f.write_str(")"),
            [source] => write!(f, "; seen behind {source}, which is shared)"),
            [source, more @ ..] => {
                write!(f, "; seen behind {source} and {} more that are shared)", more.len())
            }
        }
    }
}

/// Whom the findings name by key or principal, the worst first. The limits for severity
/// and score are those of a block.
pub(crate) fn suggestions(
    findings: &Findings,
    decisions: &[Decision],
    policy: &BlockPolicy,
) -> Vec<Suggestion> {
    let is_shared = |decision: &&Decision| {
        matches!(
            decision.outcome,
            Outcome::Withheld(Withheld::SharedEgress { .. } | Withheld::Watched { .. })
        )
    };
    let shared: BTreeSet<IpNet> =
        decisions.iter().filter(is_shared).map(|decision| decision.source).collect();
    let weighs = |suspect: &&Suspect| {
        suspect.score >= policy.min_score && suspect.severity >= policy.min_severity
    };
    let suggestion = |suspect: &Suspect| {
        let handle = match suspect.key {
            Key::ApiKey => Handle::ApiKey,
            Key::Principal => Handle::Principal,
            _ => return None,
        };
        let seen_at: BTreeSet<IpNet> =
            suspect.contributors.iter().map(|contributor| contributor.source.trunc()).collect();
        Some(Suggestion {
            handle,
            id: shown(suspect.value.as_untrusted().bytes()),
            score: suspect.score,
            rules: suspect.detections.iter().map(|found| found.rule.to_string()).collect(),
            requests: suspect.requests,
            clients: suspect.clients,
            shared_sources: seen_at.intersection(&shared).copied().collect(),
        })
    };
    findings.suspects.iter().filter(weighs).filter_map(suggestion).collect()
}

/// The id if it is plain, and otherwise something that stands for it.
fn shown(id: &[u8]) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:@|/=+".contains(byte);
    match std::str::from_utf8(id) {
        Ok(text) if !id.is_empty() && id.len() <= MOST_ID_BYTES && id.iter().all(is_plain) => {
            text.to_owned()
        }
        _ => format!("sha256:{}", &hexadecimal(&Sha256::digest(id))[..16]),
    }
}

#[cfg(test)]
mod tests {
    use portcullis_detection::{Confidence, Contributor, Severity};
    use portcullis_ingest::UntrustedBuf;

    use super::*;
    use crate::testing::{detection, findings, network, now, offender};
    use crate::{NeverBlock, Sets, plan};

    fn suspect(key: Key, value: &str, score: u32, sources: &[&str]) -> Suspect {
        let contributor = |source: &&str| Contributor { source: network(source), requests: 100 };
        Suspect {
            key,
            value: UntrustedBuf::from(value.as_bytes().to_vec()),
            score,
            severity: Severity::High,
            confidence: Confidence::High,
            detections: vec![detection("rate/key-flood", "a.gz", &[0])],
            requests: 412,
            clients: sources.len() as u64,
            contributors: sources.iter().map(contributor).collect(),
            first: None,
            last: None,
        }
    }

    fn shown_for(suspects: Vec<Suspect>) -> Vec<String> {
        let mut shared = offender("203.0.113.9/32");
        shared.principals = 10;
        let mut findings = findings(vec![shared, offender("203.0.113.8/32")], &[]);
        findings.suspects = suspects;
        let policy = BlockPolicy::default();
        let plan = plan(&findings, &Sets::empty(), &NeverBlock::built_in(), &policy, now());
        plan.suggestions().iter().map(Suggestion::to_string).collect()
    }

    #[test]
    fn a_key_behind_a_shared_address_is_named_instead_of_it() {
        let sources = ["203.0.113.8/32", "203.0.113.9/32"];
        assert_eq!(
            shown_for(vec![
                suspect(Key::ApiKey, "a1b2c3d4e5", 320, &sources),
                suspect(Key::Principal, "user|7", 50, &sources[..1]),
            ]),
            [
                "throttle API key a1b2c3d4e5 in its usage plan, or disable it: rate/key-flood \
                 (412 requests from 2 clients; seen behind 203.0.113.9/32, which is shared)",
                "throttle or suspend principal user|7: rate/key-flood (412 requests from 1 \
                 client)",
            ]
        );
    }

    #[test]
    fn what_weighs_too_little_and_what_is_no_handle_is_not_suggested() {
        let mut mild = suspect(Key::ApiKey, "a1b2c3d4e5", 320, &[]);
        mild.severity = Severity::Low;
        let others = [Key::Network, Key::Path, Key::Route, Key::UserAgent];
        let mut suspects = vec![mild, suspect(Key::ApiKey, "a1b2c3d4e5", 49, &[])];
        suspects.extend(others.map(|key| suspect(key, "anything", 320, &[])));
        assert_eq!(shown_for(suspects), [""; 0]);
    }

    #[test]
    fn an_id_that_could_act_is_shown_as_its_hash() {
        assert_eq!(shown(b"a1b2c3d4e5"), "a1b2c3d4e5");
        assert_eq!(shown(b"arn:aws:iam::111122223333:user/x"), "arn:aws:iam::111122223333:user/x");
        // printf '<!channel>' | sha256sum
        assert_eq!(shown(b"<!channel>"), "sha256:5ae1671c6224163f");
        for hostile in [&b"a b"[..], b"", b"a\x1b[2J", "naïve".as_bytes(), b"\xff", &[b'x'; 129]] {
            assert!(shown(hostile).starts_with("sha256:"), "{hostile:?}");
        }
        assert_eq!(shown(&[b'x'; 128]).len(), 128);
    }
}

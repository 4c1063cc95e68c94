//! Where offenders come from: countries and networks, as far as the operator's files know.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use portcullis_detection::{Background, Findings, Offender};

use crate::words::{count, counted};

/// Places shown of a kind.
const SHOWN: usize = 10;

/// Places of one kind.
pub(super) struct Places {
    pub(super) title: &'static str,
    /// What one of them is.
    pub(super) one: &'static str,
    pub(super) rows: Vec<Place>,
    /// How many more there are, and how many offenders are in none; empty when there are none.
    pub(super) note: String,
}

/// One country or network.
pub(super) struct Place {
    pub(super) name: String,
    pub(super) offenders: String,
    /// Length of its bar, in percent of the longest.
    pub(super) length: u64,
    pub(super) attacks: String,
}

/// Countries and networks; none where nothing is known.
pub(super) fn places(findings: &Findings) -> Vec<Places> {
    let kinds = [
        kind("Countries", "Country", findings, |known| known.country.as_deref().map(str::to_owned)),
        kind("Networks", "Network", findings, |known| {
            known.network.as_ref().map(ToString::to_string)
        }),
    ];
    kinds.into_iter().flatten().collect()
}

fn kind(
    title: &'static str,
    one: &'static str,
    findings: &Findings,
    name: impl Fn(&Background) -> Option<String>,
) -> Option<Places> {
    let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for Offender { background, flagged_requests, .. } in &findings.offenders {
        if let Some(name) = name(background) {
            let (offenders, attacks) = sums.entry(name).or_default();
            *offenders += 1;
            *attacks += flagged_requests;
        }
    }
    let known: u64 = sums.values().map(|(offenders, _)| offenders).sum();
    let unknown = findings.offenders.len() as u64 - known;
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by(|(a, of_a), (b, of_b)| Reverse(of_a).cmp(&Reverse(of_b)).then(a.cmp(b)));
    let longest = sums.first()?.1.0;
    let mut notes = Vec::new();
    if let Some(more) = sums.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        notes.push(format!("And {} more.", count(more as u64)));
    }
    if unknown > 0 {
        notes.push(format!("Of {} it is not known.", counted(unknown, "offender", "offenders")));
    }
    let rows = sums.into_iter().take(SHOWN).map(|(name, (offenders, attacks))| Place {
        name,
        offenders: count(offenders),
        length: (offenders * 100).div_ceil(longest),
        attacks: count(attacks),
    });
    Some(Places { title, one, rows: rows.collect(), note: notes.join(" ") })
}

#[cfg(test)]
mod tests {
    use portcullis_detection::Network;

    use super::*;

    #[test]
    fn places_are_summed_and_what_is_left_out_is_said() {
        let one = crate::testing::findings(b"/a").offenders.remove(0);
        let from = |number: u32| Offender {
            background: Background {
                country: Some("NL".into()),
                network: Some(Network { number, name: Some("Example".into()) }),
                ..Background::default()
            },
            ..one.clone()
        };
        let mut offenders: Vec<Offender> = (1..=12).map(from).collect();
        offenders.extend([from(7), one.clone()]);
        let found = places(&Findings { offenders, ..Findings::default() });
        let [countries, networks] = &found[..] else { panic!("two kinds") };
        assert_eq!((countries.rows.len(), countries.rows[0].offenders.as_str()), (1, "13"));
        assert_eq!(countries.note, "Of 1 offender it is not known.");
        assert_eq!(networks.rows[0].name, "AS7 Example");
        assert_eq!(networks.rows.len(), SHOWN);
        assert_eq!(networks.note, "And 2 more. Of 1 offender it is not known.");
        assert!(places(&Findings { offenders: vec![one], ..Findings::default() }).is_empty());
    }
}

//! Searches for the text that costs the most.
//!
//! A list of hostile texts holds what somebody thought of. Here texts are made of what rules
//! look for, of marks and of encoded forms, a few kinds to each, in turn or in any order. Each
//! is judged after thousands of others, whose states the expressions still remember: what one
//! text leaves behind must not make the next one slow.

use portcullis_detection::{Classifier, RuleKind, RuleSet};

use crate::{PLACES, Place, Random, TEXT_BYTES, cost, honest};

/// A text is told when it costs more than this many times honest queries.
const TOLD: f64 = 2.0;

/// Times a text is measured; the least counts, because a busy moment is no fault.
const TIMES: usize = 6;

/// What decoding and folding undo, and what grammars begin with.
const FORMS: [&str; 34] = [
    "%27", "%2527", "%u0027", "%c0%af", "%00", "%20", "+", "&lt;", "\\x41", "\\u0041", "/*", "*/",
    "/**/", "--", "#\n", "''", "\"\"", "^a", "$@", "${", "$(", "../", "..;/", "..%2f", "&a=", "x=",
    "\u{ff07}", "\u{430}", "select", "or", "union", "a", "1", "(",
];

/// Makes so many texts from a seed, and prints those that cost too much, the worst first.
pub(crate) fn run(rules: &RuleSet, texts: u64, seed: u64) {
    let pools = pools(rules);
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ seed << 32);
    let mut classifier = rules.classifier();
    let honest = honest();
    let of_honest = least(&mut classifier, Place::Query, &honest);
    let mut told = Vec::new();
    for _ in 0..texts {
        let (name, text) = text(&pools, &mut random);
        let texts = [text];
        for place in PLACES {
            // Most need not be measured well.
            if cost(&mut classifier, place, &texts) > TOLD * 0.8 * of_honest {
                let ratio = least(&mut classifier, place, &texts)
                    / least(&mut classifier, Place::Query, &honest).min(of_honest);
                told.push((ratio, place.name(), name.clone()));
            }
        }
    }
    told.retain(|(ratio, ..)| *ratio > TOLD);
    told.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (ratio, place, name) in &told {
        println!("{ratio:>6.2} × {place:<6} {name}");
    }
    println!("{} of {texts} texts in {} places above {TOLD}", told.len(), PLACES.len());
    let (ratio, _, name) = told.first().cloned().unwrap_or((TOLD, "", "none".to_owned()));
    println!("worst: {name}, {ratio:.2} × honest");
}

/// Marks, forms, and literals of rules, these twice as often.
fn pools(rules: &RuleSet) -> [Vec<String>; 4] {
    let marks = (1..0x7f_u8).filter(|byte| !byte.is_ascii_alphanumeric());
    let marks = marks.map(|byte| char::from(byte).to_string()).collect();
    let signatures = rules.rules().iter().filter_map(|rule| match rule.kind() {
        RuleKind::Signature(signature) => Some(signature),
        RuleKind::Rate(_) => None,
    });
    let literals = signatures.flat_map(|signature| signature.literals());
    let literals: Vec<String> = literals.map(|literal| literal.text().to_owned()).collect();
    [marks, FORMS.map(str::to_owned).to_vec(), literals.clone(), literals]
}

/// A text of one to six parts, and what it is made of.
fn text(pools: &[Vec<String>; 4], random: &mut Random) -> (String, Vec<u8>) {
    let mut pick = |among: usize| random.next() as usize % among;
    let parts: Vec<&str> = (0..=pick(6))
        .map(|_| {
            let pool = &pools[pick(pools.len())];
            pool[pick(pool.len())].as_str()
        })
        .collect();
    let in_turn = pick(2) == 0;
    let mut text = Vec::new();
    for turn in 0.. {
        if text.len() >= TEXT_BYTES {
            break;
        }
        let part = if in_turn { turn } else { pick(parts.len()) };
        text.extend(parts[part % parts.len()].bytes());
    }
    text.truncate(TEXT_BYTES);
    (format!("{parts:?} {}", if in_turn { "in turn" } else { "in any order" }), text)
}

/// Nanoseconds per byte, when nothing is in the way.
fn least(classifier: &mut Classifier<'_>, place: Place, texts: &[Vec<u8>]) -> f64 {
    (0..TIMES).map(|_| cost(classifier, place, texts)).fold(f64::INFINITY, f64::min)
}

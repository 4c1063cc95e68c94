use std::sync::LazyLock;

use portcullis_detection::ObjectSeen;
use proptest::prelude::*;

use super::*;

static RULES: LazyLock<RuleSet> = LazyLock::new(RuleSet::builtin);

const LOOKBACK_MS: i64 = 25 * HOUR_MS;
const START_MS: i64 = 490_000 * HOUR_MS;

/// What may happen to a bucket and to those who read it.
#[derive(Debug, Clone)]
enum Event {
    /// An object appears, or takes the place of the one of that name.
    Put {
        name: u8,
    },
    Delete {
        name: u8,
    },
    /// Time passes, in quarters of an hour.
    Wait(u8),
    /// A run, in which these objects end early, and which may be killed before it
    /// saves.
    Run {
        broken: u8,
        killed: bool,
    },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..12_u8).prop_map(|name| Event::Put { name }),
        1 => (0..12_u8).prop_map(|name| Event::Delete { name }),
        2 => (1..40_u8).prop_map(Event::Wait),
        3 => (any::<u8>(), prop::bool::weighted(0.2))
            .prop_map(|(broken, killed)| Event::Run { broken, killed }),
    ]
}

/// An object of which the records say which it is: two bits for each.
fn seen(name: &str, number: u64) -> ObjectSeen<'_> {
    ObjectSeen {
        object: name,
        format: Some("recommended"),
        fields: portcullis_ingest::FieldSet::default(),
        records: 1 << (2 * number),
        text_bytes: 1,
        outside_span: 0,
        duplicates: 0,
        incomplete: None,
    }
}

/// How often each object was counted.
fn counts(history: &History, rules: &RuleSet) -> Vec<u64> {
    let records = history.scan(rules, 1 << 30).expect("it can be read").finish().coverage.records;
    (0..31).map(|number| records >> (2 * number) & 3).collect()
}

/// One run, as the program does it; gives what it read.
fn run(
    history: &mut History,
    rules: &RuleSet,
    inputs: &[Input],
    now: Timestamp,
    broken: u8,
) -> usize {
    let begin = History::begin(now, LOOKBACK_MS);
    history.forget_before(begin);
    let work = history.work(inputs, begin);
    for (place, hour) in &work.read {
        let input = &inputs[*place];
        if broken >> (place % 8) & 1 == 1 {
            continue;
        }
        let mut scan = Scan::new(rules);
        scan.object(&seen(&input.name, input.version.parse().expect("a number")));
        let counted = Counted { input, identities: &[], has_twins: false };
        history.keep(rules, *hour, std::iter::once(counted), scan).expect("it can be kept");
    }
    work.read.len()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_happens_each_object_counts_once(
        events in prop::collection::vec(event(), 1..40),
    ) {
        let rules = &*RULES;
        let mut stored = History::new("settings".to_owned()).to_bytes();
        let mut bucket: BTreeMap<u8, (u64, Timestamp)> = BTreeMap::new();
        let mut now = Timestamp::from_epoch_ms(START_MS).expect("a time");
        let mut puts = 0;
        let finally = Event::Run { broken: 0, killed: false };
        for event in events.into_iter().chain([finally]) {
            match event {
                Event::Put { name } if puts < 31 => {
                    bucket.insert(name, (puts, now));
                    puts += 1;
                }
                Event::Put { .. } => {}
                Event::Delete { name } => drop(bucket.remove(&name)),
                Event::Wait(quarters) => {
                    let later = now.epoch_ms() + i64::from(quarters) * HOUR_MS / 4;
                    now = Timestamp::from_epoch_ms(later).expect("a time");
                }
                Event::Run { broken, killed } => {
                    let inputs: Vec<Input> = bucket
                        .iter()
                        .map(|(name, (number, written))| {
                            Input::test(&format!("{name}"), &number.to_string(), *written)
                        })
                        .collect();
                    let mut history = History::from_bytes(&stored).expect("it was written");
                    run(&mut history, rules, &inputs, now, broken);
                    if killed {
                        continue;
                    }
                    stored = history.to_bytes();
                    let begin = History::begin(now, LOOKBACK_MS);
                    let counts = counts(&history, rules);
                    prop_assert!(counts.iter().all(|count| *count <= 1), "{counts:?}");
                    for (place, (_, (number, written))) in bucket.iter().enumerate() {
                        let count = counts[usize::try_from(*number).expect("small")];
                        if *written < begin {
                            prop_assert_eq!(count, 0, "out of sight");
                        } else if broken >> (place % 8) & 1 == 0 {
                            prop_assert_eq!(count, 1, "listed, and read to its end");
                        }
                    }
                    if broken == 0 {
                        let mut again = History::from_bytes(&stored).expect("it was written");
                        prop_assert_eq!(run(&mut again, rules, &inputs, now, 0), 0);
                        prop_assert_eq!(again.to_bytes(), stored.clone());
                    }
                }
            }
        }
    }

    #[test]
    fn a_document_that_was_altered_is_refused(place in 0..400_usize, bit in 0..8_u8) {
        let rules = &*RULES;
        let mut history = History::new("settings".to_owned());
        let now = Timestamp::from_epoch_ms(START_MS).expect("a time");
        run(&mut history, rules, &[Input::test("a", "1", now)], now, 0);
        let mut bytes = history.to_bytes();
        let place = place % bytes.len();
        bytes[place] ^= 1 << bit;
        // What is altered is refused, or another history: never taken for this one.
        if let Ok(other) = History::from_bytes(&bytes) {
            prop_assert_ne!(other, history);
        }
    }
}

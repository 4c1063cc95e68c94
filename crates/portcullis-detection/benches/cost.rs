//! What a byte of text costs: hostile texts against honest ones.
//!
//! Whoever is watched chooses what the detector reads, so its worst case is an attack on
//! it. Each hostile text here fills a field to the limit with what one stage dislikes:
//! literals that make every rule a candidate, layers of encoding, comments, parameters of
//! one byte. Prints nanoseconds per byte of the field, and the ratio to honest queries of
//! the same length; asserts nothing, because a busy machine is no fault. Time is what the
//! thread was given, so that others who wait for the same processor do not count.
//!
//! `cargo xtask bench adversarial`, or `cargo bench -p portcullis-detection`
//!
//! What nobody thought of is searched for: `--search 5000 1` makes that many texts from a seed
//! and prints those that cost more than twice honest queries.
//!
//! Neighbours still share its caches. Instructions do not mind; Valgrind counts those of
//! one text in one place, which `--once` judges a third time, all memory warm:
//!
//! `valgrind --tool=callgrind --toggle-collect='cost::judge*' target/release/deps/cost-… \
//!     --bench --once query "random ASCII"`

mod search;

use std::hint::black_box;
use std::time::Duration;

use portcullis_detection::{Classifier, RuleSet};
use portcullis_ingest::{Request, Untrusted};
use rustix::time::{ClockId, clock_gettime};

/// Length of every text: what is looked at from the beginning of a field.
const TEXT_BYTES: usize = 16 * 1024;

/// Least time of one text in one round.
const LEAST_TIME: Duration = Duration::from_millis(4);

/// Texts of a kind where it has several. A processor learns the way through a text that it
/// reads again and again, and no log repeats itself like that.
const VARIANTS: u64 = 24;

/// Rounds over all texts; the median counts.
const ROUNDS: usize = 9;

/// Queries that shops, mail clients and analytics send.
const HONEST: [&str; 10] = [
    "page=2&sort=price&order=desc&category=shoes&size=42&color=black",
    "utm_source=newsletter&utm_medium=email&utm_campaign=2024_spring&gclid=Cj0KCQiA5rGuBhCnARIs",
    "q=running+shoes+for+men&brand%5B%5D=12&brand%5B%5D=48&min=20&max=180",
    "id=550e8400-e29b-41d4-a716-446655440000&v=3&lang=en-GB&tz=Europe%2FAmsterdam",
    "redirect_uri=https%3A%2F%2Fshop.example.com%2Faccount%2Forders%3Fpage%3D1&state=xyz",
    "filter=name:eq:O'Brien&fields=id,name,price&limit=50&offset=100",
    "t=1700000000123&sr=1920x1080&dl=https%3A%2F%2Fexample.com%2Fp%2F123&dt=Home%20%26%20garden",
    "search=%D8%AF%D8%B3%D8%AA%DA%AF%D8%A7%D9%87+%D9%82%D9%87%D9%88%D9%87&page=1",
    "token=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
    "from=2024-01-01T00:00:00Z&to=2024-02-01T00:00:00Z&group=day&metric=orders",
];

/// What the table calls them.
const HONEST_NAME: &str = "honest queries";

/// Attack words, as a fuzzer would mix them.
const WORDS: &str = "union select ' or 1=1 -- <script>alert( ${jndi:ldap: ;cat /etc/passwd && \
    ../../ %27 waitfor delay sleep( onerror= javascript: {{7*7}} php://filter xp_cmdshell # */ \
    \" ) and ' like ' benchmark( information_schema |id $(id) `id` http://169.254.169.254/ eval( ";

/// One text in one field.
struct Case {
    name: &'static str,
    place: Place,
    texts: Vec<Vec<u8>>,
    /// Nanoseconds per byte, one for each round.
    costs: Vec<f64>,
    /// The same, to honest queries measured directly before.
    ratios: Vec<f64>,
}

fn main() {
    // `cargo test --all-targets` runs this too, unoptimised.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("not measured: run `cargo bench -p portcullis-detection`");
        return;
    }
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let wanted = |name: &str| only.as_deref().is_none_or(|only| name.contains(only));
    let rules = RuleSet::builtin();
    let mut classifier = rules.classifier();
    let arguments: Vec<String> = std::env::args().skip_while(|one| one != "--once").collect();
    if let [_, place, name] = &arguments[..] {
        once(&mut classifier, place, name);
        return;
    }
    let searched: Vec<u64> = std::env::args()
        .skip_while(|one| one != "--search")
        .filter_map(|number| number.parse().ok())
        .collect();
    if let [texts, seed] = searched[..] {
        search::run(&rules, texts, seed);
        return;
    }
    let honest = honest();
    let mut cases: Vec<Case> = std::iter::once((HONEST_NAME, honest.clone()))
        .chain(hostile().filter(|(name, _)| wanted(name)))
        .flat_map(|(name, texts)| {
            let case = move |place| Case {
                name,
                place,
                texts: texts.clone(),
                costs: Vec::new(),
                ratios: Vec::new(),
            };
            PLACES.map(case)
        })
        .collect();
    for _ in 0..ROUNDS {
        for case in &mut cases {
            // Side by side, so that a busy moment hits both alike.
            let of_honest = cost(&mut classifier, Place::Query, &honest);
            let of_case = cost(&mut classifier, case.place, &case.texts);
            case.costs.push(of_case);
            case.ratios.push(of_case / of_honest);
        }
    }
    report(&mut cases);
}

/// Judges one text, by name, in one place: twice so that automata are built, then counted.
fn once(classifier: &mut Classifier<'_>, place: &str, name: &str) {
    let place = PLACES.into_iter().find(|known| known.name() == place);
    let mut texts = std::iter::once((HONEST_NAME, honest())).chain(hostile());
    let text = texts.find(|(known, _)| *known == name);
    let (Some(place), Some((_, texts))) = (place, text) else {
        eprintln!("no such place or text: `--once query|path|agent TEXT`, as the table names it");
        std::process::exit(2);
    };
    let request = place.request(&texts[0]);
    for _ in 0..2 {
        black_box(classifier.classify(&request).score());
    }
    judge(classifier, &request);
}

/// What is counted; by itself, so that a profiler knows its beginning and end.
#[inline(never)]
fn judge(classifier: &mut Classifier<'_>, request: &Request<'_>) {
    black_box(classifier.classify(request).score());
}

/// Prints the table and the worst ratio.
fn report(cases: &mut [Case]) {
    println!("ns per byte of {TEXT_BYTES}-byte texts, and the ratio to honest queries measured");
    println!("side by side; medians of {ROUNDS} rounds");
    println!("{:<24} {:>15} {:>15} {:>15}", "text", "query", "path", "user agent");
    let mut worst = (0.0, "");
    for row in cases.chunk_by_mut(|a, b| a.name == b.name) {
        print!("{:<24}", row[0].name);
        for case in row.iter_mut() {
            let ratio = median(&mut case.ratios);
            print!(" {:>7.1} {ratio:>5.2} ×", median(&mut case.costs));
            if ratio > worst.0 {
                worst = (ratio, case.name);
            }
        }
        println!();
    }
    println!("worst: {}, {:.2} × honest", worst.1, worst.0);
}

/// Texts that waste time, by name.
fn hostile() -> impl Iterator<Item = (&'static str, Vec<Vec<u8>>)> {
    let repeated = [
        ("single quotes", "'"),
        ("double quotes", "\""),
        ("both quotes", "'\""),
        ("quoted words", "' or "),
        ("backticks", "`"),
        ("percent signs", "%"),
        ("%25", "%25"),
        ("%2525252525", "%2525252525"),
        ("%27", "%27"),
        ("parameters", "a=1&"),
        ("empty parameters", "&"),
        ("quoted parameters", "a='&"),
        ("tagged parameters", "a=<b&"),
        ("comments", "/**/"),
        ("open comments", "/*"),
        ("less-than", "<"),
        ("tags", "<a b=c "),
        ("tags in tags", "<a b='"),
        ("${", "${"),
        ("{{", "{{"),
        ("semicolons", ";"),
        ("opening brackets", "("),
        ("select(", "select("),
        ("select ", "select "),
        ("select /*", "select /*"),
        ("union ", "union all "),
        ("dots and slashes", "../"),
        ("slashes", "/"),
        ("dots", "."),
        ("pipes", "|"),
        ("backslashes", "\\"),
        ("entities", "&lt;"),
        ("long numbers", "&#0000000"),
        ("spaces", " "),
        ("letters", "a"),
        ("words and spaces", "a "),
        ("commands", ";id|ls"),
        ("base64 letters", "QUJD"),
        ("base64 of markup", "PGE8YTxhPGE8YTxh"),
        ("base64 parameters", "a=JyBvciAnMScg&"),
        ("punctuation", "~a!b@c#d$e%f^g&h*i(j)k_l+m|n}o{p:q?r>s<t"),
        ("high bytes", "\u{ff07}"),
        ("attack words", WORDS),
    ];
    let texts = repeated.into_iter().map(|(name, unit)| (name, vec![filled(unit)]));
    let printable = |number: u64| b' ' + (number % 95) as u8;
    let bytes = |random: &mut Random| (0..TEXT_BYTES).map(|_| random.next() as u8).collect();
    let ascii = |random: &mut Random| (0..TEXT_BYTES).map(|_| printable(random.next())).collect();
    let random = [
        ("random bytes", variants(bytes)),
        ("random ASCII", variants(ascii)),
        ("shuffled attack words", variants(shuffled)),
    ];
    texts.chain(random)
}

/// Attack words in any order, with what may stand between them.
fn shuffled(random: &mut Random) -> Vec<u8> {
    let words: Vec<&str> = WORDS.split(' ').collect();
    let mut text = Vec::new();
    while text.len() < TEXT_BYTES {
        let number = random.next() as usize;
        text.extend(words[number % words.len()].bytes());
        text.push(b" +&;/'"[number / words.len() % 6]);
    }
    text.truncate(TEXT_BYTES);
    text
}

/// Texts of a kind that differ.
fn variants(text: impl Fn(&mut Random) -> Vec<u8>) -> Vec<Vec<u8>> {
    let seed = |number: u64| Random(0x9e37_79b9_7f4a_7c15 ^ number << 20);
    (0..VARIANTS).map(|number| text(&mut seed(number))).collect()
}

/// Xorshift: the same numbers every time.
struct Random(u64);

impl Random {
    const fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 32
    }
}

/// Honest queries in no order, with other digits each time.
fn honest() -> Vec<Vec<u8>> {
    variants(|random| {
        let mut text = Vec::new();
        while text.len() < TEXT_BYTES {
            let query = HONEST[random.next() as usize % HONEST.len()];
            let mut after_percent = 3;
            for byte in query.bytes() {
                after_percent = if byte == b'%' { 0 } else { after_percent + 1 };
                let varies = byte.is_ascii_digit() && after_percent > 2;
                text.push(if varies { b'0' + (random.next() % 10) as u8 } else { byte });
            }
            text.push(b'&');
        }
        text.truncate(TEXT_BYTES);
        text
    })
}

/// The unit, again and again.
fn filled(unit: &str) -> Vec<u8> {
    unit.bytes().cycle().take(TEXT_BYTES).collect()
}

#[derive(Clone, Copy)]
enum Place {
    Query,
    Path,
    UserAgent,
}

const PLACES: [Place; 3] = [Place::Query, Place::Path, Place::UserAgent];

impl Place {
    const fn name(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Path => "path",
            Self::UserAgent => "agent",
        }
    }

    fn request(self, text: &[u8]) -> Request<'_> {
        let text = Some(Untrusted::new(text));
        match self {
            Self::Query => Request { query: text, ..Request::default() },
            Self::Path => Request { path: text, ..Request::default() },
            Self::UserAgent => Request { user_agent: text, ..Request::default() },
        }
    }
}

/// Nanoseconds per byte, of a few texts in a row.
fn cost(classifier: &mut Classifier<'_>, place: Place, texts: &[Vec<u8>]) -> f64 {
    let begun = processor_time();
    let mut runs = 0_u32;
    for text in texts.iter().cycle() {
        black_box(classifier.classify(&place.request(text)).score());
        runs += 1;
        let spent = processor_time().saturating_sub(begun);
        if spent >= LEAST_TIME && runs as usize >= texts.len() {
            return spent.as_nanos() as f64 / f64::from(runs) / TEXT_BYTES as f64;
        }
    }
    f64::NAN
}

/// What this thread was given so far.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("no time is negative")
}

fn median(costs: &mut [f64]) -> f64 {
    costs.sort_by(f64::total_cmp);
    costs[costs.len() / 2]
}

//! What a byte of text costs: hostile texts against honest ones.
//!
//! Whoever is watched chooses what the detector reads, so its worst case is an attack on
//! it. Each hostile text here fills a field to the limit with what one stage dislikes:
//! literals that make every rule a candidate, layers of encoding, comments, parameters of
//! one byte. Prints nanoseconds per byte of the field, and the ratio to honest queries of
//! the same length; asserts nothing, because a busy machine is no fault.
//!
//! `cargo bench -p portcullis-detection`

use std::hint::black_box;
use std::time::{Duration, Instant};

use portcullis_detection::{Classifier, RuleSet};
use portcullis_ingest::{Request, Untrusted};

/// Length of every text: what is looked at from the beginning of a field.
const TEXT_BYTES: usize = 16 * 1024;

/// Least time for one figure; the fastest run counts.
const LEAST_TIME: Duration = Duration::from_millis(60);

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

/// Attack words, as a fuzzer would mix them.
const WORDS: &str = "union select ' or 1=1 -- <script>alert( ${jndi:ldap: ;cat /etc/passwd && \
    ../../ %27 waitfor delay sleep( onerror= javascript: {{7*7}} php://filter xp_cmdshell # */ \
    \" ) and ' like ' benchmark( information_schema |id $(id) `id` http://169.254.169.254/ eval( ";

fn main() {
    // `cargo test --all-targets` runs this too, unoptimised.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("not measured: run `cargo bench -p portcullis-detection`");
        return;
    }
    let rules = RuleSet::builtin();
    let mut classifier = rules.classifier();
    let honest = filled(&format!("{}&", HONEST.join("&")));
    let honest_cost = cost(&mut classifier, Place::Query, &honest);
    println!("ns per byte of {TEXT_BYTES}-byte texts (ratio to honest queries)");
    println!("{:<24} {:>14} {:>14} {:>14}", "text", "query", "path", "user agent");
    let mut worst = 0.0_f64;
    for (name, text) in std::iter::once(("honest queries", honest)).chain(hostile()) {
        print!("{name:<24}");
        for place in [Place::Query, Place::Path, Place::UserAgent] {
            let nanoseconds = cost(&mut classifier, place, &text);
            worst = worst.max(nanoseconds);
            print!(" {nanoseconds:>7.1} {:>4.1} ×", nanoseconds / honest_cost);
        }
        println!();
    }
    println!("worst: {worst:.1} ns, {:.1} × honest", worst / honest_cost);
    let (nanoseconds, bytes) = short_queries(&mut classifier);
    println!(
        "honest queries by themselves: {nanoseconds:.0} ns each, {:.1} ns per byte",
        nanoseconds / bytes
    );
}

/// Texts that waste time, by name.
fn hostile() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
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
        ("punctuation", "~a!b@c#d$e%f^g&h*i(j)k_l+m|n}o{p:q?r>s<t"),
        ("high bytes", "\u{ff07}"),
        ("attack words", WORDS),
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let random = (0..TEXT_BYTES)
        .map(|_| {
            // Xorshift: the same bytes every time.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect();
    let texts = repeated.into_iter().map(|(name, unit)| (name, filled(unit)));
    texts.chain(std::iter::once(("random bytes", random)))
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

/// Nanoseconds per byte of the fastest of many runs.
fn cost(classifier: &mut Classifier<'_>, place: Place, text: &[u8]) -> f64 {
    let text = Some(Untrusted::new(text));
    let request = match place {
        Place::Query => Request { query: text, ..Request::default() },
        Place::Path => Request { path: text, ..Request::default() },
        Place::UserAgent => Request { user_agent: text, ..Request::default() },
    };
    let nanoseconds = fastest(|| {
        black_box(classifier.classify(&request).score());
    });
    nanoseconds / TEXT_BYTES as f64
}

/// Nanoseconds for one of the honest queries by itself, and its bytes; means.
fn short_queries(classifier: &mut Classifier<'_>) -> (f64, f64) {
    let nanoseconds = fastest(|| {
        for query in HONEST {
            let query = Some(Untrusted::new(query.as_bytes()));
            let request = Request { query, ..Request::default() };
            black_box(classifier.classify(&request).score());
        }
    });
    let bytes: usize = HONEST.iter().map(|query| query.len()).sum();
    (nanoseconds / HONEST.len() as f64, bytes as f64 / HONEST.len() as f64)
}

fn fastest(mut run: impl FnMut()) -> f64 {
    let begun = Instant::now();
    let mut fastest = Duration::MAX;
    while begun.elapsed() < LEAST_TIME {
        let one = Instant::now();
        run();
        fastest = fastest.min(one.elapsed());
    }
    fastest.as_nanos() as f64
}

//! What every task of a job must agree on: rules, format, limits.
//!
//! The driver sends it as text with each task. A worker keeps what it made of it for as long
//! as it lives, because rules take a moment to compile and Spark uses its Python workers
//! again; so a worker holds one set for each job it ever saw, which are few. What the text
//! cannot carry is what the module itself brings: its version, the rules and formats that
//! are compiled in. So the driver sends a digest of what came out, too, and a worker on
//! which something else comes out refuses to work.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::{Mutex, OnceLock, PoisonError};

use foldhash::fast::FixedState;
use ipnet::IpNet;
use portcullis_detection::{Crawlers, HashKey, Reading, RuleSet};
use portcullis_ingest::{Field, LogFormat, PRESETS, ReadOptions};
use serde::Deserialize;

/// Settings as the driver writes them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    /// Rule files with their text; the ones compiled in when absent.
    rules: Option<Vec<(String, String)>>,
    /// Names of crawlers with the ranges their operators publish.
    crawler_ranges: Vec<(String, String)>,
    /// A preset's name or a template; each object's format is detected when absent.
    format: Option<String>,
    trusted_proxies: Vec<IpNet>,
    max_object_bytes: Option<u64>,
    /// Whether incomplete objects are set aside.
    set_aside: bool,
    /// What counts are keyed with; as the program has them when absent.
    hash_key: Option<HashKey>,
}

/// What came of them.
pub(crate) struct Settings {
    pub(crate) rules: RuleSet,
    pub(crate) reading: Reading,
    pub(crate) digest: String,
}

impl Settings {
    fn read(text: &str) -> Result<Self, String> {
        let text: Text = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let rules = match text.rules {
            None => RuleSet::builtin(),
            Some(files) => RuleSet::load(files).map_err(|errors| errors.to_string())?,
        };
        let mut crawlers = Crawlers::default();
        for (name, ranges) in &text.crawler_ranges {
            crawlers.add(name, ranges).map_err(|error| format!("ranges of {name}: {error}"))?;
        }
        let rules = rules.with_crawlers(crawlers);
        let rules = match text.hash_key {
            Some(key) => rules.with_hash_key(key),
            None => rules,
        };
        let format = text.format.as_deref().map(parse_format).transpose()?;
        let mut options =
            ReadOptions { trusted_proxies: text.trusted_proxies, ..ReadOptions::default() };
        options.object_bytes = text.max_object_bytes.unwrap_or(options.object_bytes);
        let reading = Reading { format, options, set_aside: text.set_aside };
        let read_how = FixedState::with_seed(0x7265_6164).hash_one(format!("{reading:?}"));
        let version = env!("CARGO_PKG_VERSION");
        let digest = format!("{version} rules {} reading {read_how:016x}", rules.digest());
        Ok(Self { rules, reading, digest })
    }
}

fn parse_format(text: &str) -> Result<LogFormat, String> {
    let names = || PRESETS.iter().map(|preset| preset.name).collect::<Vec<_>>().join(", ");
    let format = match LogFormat::preset(text) {
        Some(format) => format,
        None if text.contains("$context") => {
            LogFormat::parse(text).map_err(|error| format!("the log format: {error}"))?
        }
        None => return Err(format!("`{text}` is no template and none of: {}", names())),
    };
    if format.fields().contains(Field::Client) {
        Ok(format)
    } else {
        Err("the log format gives no client address, so nothing can be held against anyone; log \
             $context.identity.sourceIp"
            .to_owned())
    }
}

/// The settings of a text, the same for as long as the process lives.
pub(crate) fn settings(text: &str) -> Result<&'static Settings, String> {
    static KNOWN: OnceLock<Mutex<HashMap<String, &'static Settings>>> = OnceLock::new();
    let known = KNOWN.get_or_init(Mutex::default);
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(settings) = known.get(text) {
        return Ok(settings);
    }
    let settings: &'static Settings = Box::leak(Box::new(Settings::read(text)?));
    known.insert(text.to_owned(), settings);
    Ok(settings)
}

/// The same, where the driver's digest must come out.
pub(crate) fn agreed(text: &str, digest: &str) -> Result<&'static Settings, String> {
    let settings = settings(text)?;
    if settings.digest == digest {
        return Ok(settings);
    }
    Err(format!(
        "this worker would judge by other rules or read otherwise than the driver: here {}, on \
         the driver {digest}; install the same portcullis_spark everywhere",
        settings.digest
    ))
}

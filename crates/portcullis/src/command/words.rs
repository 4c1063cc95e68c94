//! Text that was given, as it is shown or typed again.

use std::iter;
use std::path::PathBuf;

use portcullis_ingest::Untrusted;

use crate::args::{Judgement, Logs};

/// Text that nobody vouches for, made harmless to print.
pub(super) fn inert(text: &str) -> String {
    Untrusted::new(text.as_bytes()).escaped().to_string()
}

/// Which logs are read and by what sources are judged, as a shell would have to be given it
/// again: what changes the answer, not how it is come by.
pub(super) fn as_typed(logs: &Logs, judgement: &Judgement) -> String {
    let Judgement { rules, crawlers, enrichment } = judgement;
    let location = |name: &String| match name.strip_prefix('-') {
        Some(rest) if !rest.is_empty() => shell_word(&format!("./{name}")),
        _ => shell_word(name),
    };
    let file = |file: &PathBuf| file.display().to_string();
    let named = |(name, file): &(String, PathBuf)| format!("{name}={}", file.display());
    let options = iter::empty()
        .chain(logs.reading.format.iter().map(|format| ("format", format.clone())))
        .chain(logs.reading.trusted_proxies.iter().map(|net| ("trusted-proxy", net.to_string())))
        .chain(logs.within.since.map(|length| ("since", format!("{}s", length / 1_000))))
        .chain(logs.within.from.map(|time| ("from", time.to_string())))
        .chain(logs.within.to.map(|time| ("to", time.to_string())))
        .chain(logs.join_waf.iter().map(|location| ("join-waf", location.clone())))
        .chain(rules.iter().map(|directory| ("rules", file(directory))))
        .chain(crawlers.ranges.iter().map(|of| ("crawler-ranges", named(of))))
        .chain(crawlers.domains.iter().map(|(name, of)| ("crawler-domain", format!("{name}={of}"))))
        .chain(enrichment.mmdb.iter().map(|database| ("mmdb", file(database))))
        .chain(enrichment.reputation.iter().map(|list| ("reputation", named(list))))
        .chain(enrichment.assets.iter().map(|list| ("assets", file(list))))
        .map(|(option, value)| format!("--{option} {}", shell_word(&value)));
    let once = logs.reading.keep_duplicates.then(|| "--keep-duplicates".to_owned());
    let words: Vec<String> =
        logs.locations.iter().map(location).chain(options).chain(once).collect();
    words.join(" ")
}

/// An argument as a shell would have to be given it again.
pub(super) fn shell_word(argument: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        argument.to_owned()
    } else {
        format!("'{}'", inert(argument).replace('\'', r"'\''"))
    }
}

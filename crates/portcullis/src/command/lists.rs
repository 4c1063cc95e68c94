//! The networks that are never blocked, from every file that names some.
//!
//! A list that cannot be read in full is no list: a plan made without a line of it could
//! block the very network that the line protects.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use ipnet::IpNet;
use portcullis_remediation::{Assets, AwsRanges, InputError, NeverBlock};

use super::judgement::Known;
use super::{inert, read_option_file};
use crate::args::Protected;
use crate::config::Configuration;
use crate::digest::sha256;
use crate::failure::Failure;

/// All lists as one, and the hash of their texts.
pub(super) struct Lists {
    pub(super) never_block: NeverBlock,
    pub(super) sha256: String,
    /// Of the files that say more of addresses.
    pub(super) enrichment_sha256: Option<String>,
    /// Of the rules.
    pub(super) rules_sha256: Option<String>,
    assets: Assets,
}

impl Lists {
    /// The configuration's lists and those of the command line; of the files with AWS
    /// ranges the command line's, if it names one. `trusted_proxies` are those by which the
    /// command reads logs; the configuration's are protected whether it uses them or not.
    pub(super) fn read(
        given: Option<&Protected>,
        trusted_proxies: &[IpNet],
        configuration: &Configuration,
    ) -> Result<Self, Failure> {
        let mut all = String::new();
        let more = given.into_iter().flat_map(|given| &given.never_block);
        for path in configuration.never_block.iter().chain(more) {
            let text = read_option_file(path, "the never-block list")?;
            NeverBlock::parse(&path.to_string_lossy(), &text)
                .map_err(|errors| bad_input("read the never-block list", &errors, &text))?;
            all.push_str(text.strip_prefix('\u{feff}').unwrap_or(&text));
            all.push('\n');
        }
        let mut never_block = NeverBlock::parse("never-block lists", &all)
            .map_err(|errors| bad_input("read the never-block lists", &errors, &all))?;
        let ranges = given.and_then(|given| given.aws_ranges.as_ref());
        if let Some(path) = ranges.or(configuration.aws_ranges.as_ref()) {
            let text = read_option_file(path, "the AWS ranges in")?;
            let ranges = AwsRanges::with_file(&path.to_string_lossy(), &text)
                .map_err(|errors| bad_input("read the AWS ranges", &errors, &text))?;
            never_block = never_block.with_aws_ranges(ranges);
            all.push_str(&text);
        }
        let trusted = configuration.scan.trusted_proxies().iter().chain(trusted_proxies);
        let trusted: BTreeSet<IpNet> = trusted.map(IpNet::trunc).collect();
        for proxy in &trusted {
            let _ = writeln!(all, "trusted proxy {proxy}");
        }
        let trusted: Vec<IpNet> = trusted.into_iter().collect();
        let mut assets = Assets::default();
        for path in configuration.assets() {
            let text = read_option_file(path, "the assets in")?;
            assets
                .add(&path.to_string_lossy(), &text)
                .map_err(|errors| bad_input("read the assets", &errors, &text))?;
            all.push_str(&text);
        }
        Ok(Self {
            never_block: never_block.with_trusted_proxies(&trusted).with_assets(&assets),
            sha256: sha256(&all),
            enrichment_sha256: None,
            rules_sha256: None,
            assets,
        })
    }

    /// The hash of the configuration, together with that of the files that say more of
    /// addresses, where there are any.
    pub(super) fn digest_with(&self, configuration: &Configuration) -> Option<String> {
        match (&configuration.sha256, &self.enrichment_sha256) {
            (of, None) => of.clone(),
            (None, Some(known)) => Some(known.clone()),
            (Some(of), Some(known)) => Some(sha256(format!("{of}\n{known}"))),
        }
    }

    /// The same with what a command was told of addresses.
    pub(super) fn knowing(self, known: &Known) -> Self {
        let Self { never_block, sha256, mut assets, .. } = self;
        assets.merge(&known.assets);
        Self {
            never_block: never_block.with_assets(&assets),
            sha256,
            enrichment_sha256: known.sha256.clone(),
            rules_sha256: known.rules_sha256.clone(),
            assets,
        }
    }
}

/// Every error of a file with the line it stands in and a caret under its place.
pub(super) fn bad_input<Kind: std::error::Error>(
    action: &str,
    errors: &[InputError<Kind>],
    text: &str,
) -> Failure {
    let mut detail = String::new();
    for error in errors {
        let _ = writeln!(detail, "{}", inert_lines(&error.to_string()));
        let Some(line) = text.lines().nth(error.line.saturating_sub(1) as usize) else {
            continue;
        };
        // Tabs and worse would move the caret away from its place.
        let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let before: String = line.chars().take(error.column.saturating_sub(1) as usize).collect();
        let indent = " ".repeat(unicode_width::UnicodeWidthStr::width(before.as_str()));
        let number = error.line.to_string();
        let _ = writeln!(detail, "  {number} | {}", inert(&line));
        let _ = writeln!(detail, "  {} | {indent}^", " ".repeat(number.len()));
    }
    Failure::because(action, detail)
}

fn inert_lines(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect()
}

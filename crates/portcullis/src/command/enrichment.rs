//! Countries and networks of addresses, who speaks ill of them, and which are the
//! operator's own, from files that the operator gives.
//!
//! A file that is only half understood would silently say nothing of most addresses, so
//! every one is read and checked whole before any log is: databases to their last record,
//! lists to their last line. What a database says ends up on terminals and pages, and is
//! made fit for that here.
//!
//! Source of the format: the `MaxMind` DB file format specification, version 2.0.
//! <https://maxmind.github.io/MaxMind-DB/>

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;
use maxminddb::{MaxMindDbError, Reader, WithinOptions};
use portcullis_detection::{Background, Backgrounds, Network};
use portcullis_ingest::Untrusted;
use portcullis_remediation::{Assets, ReputationList};
use serde::Deserialize;

use super::inert;
use super::lists::bad_input;
use crate::args::Enrichment;
use crate::digest::sha256;
use crate::failure::Failure;

/// Characters of a network's name that are shown.
const NAME_CHARACTERS: usize = 60;
/// Records of a database in which a country or network must be found. A guess: those of a
/// kind are all alike.
const TRIED_RECORDS: usize = 1_000;

/// What all files say.
pub(super) struct Files {
    databases: Vec<Reader<Vec<u8>>>,
    lists: BTreeMap<Arc<str>, Vec<ReputationList>>,
    assets: Assets,
    /// Hashes of the files, a line each.
    digests: String,
}

/// A record as databases of countries and networks have it, those of `MaxMind` first.
#[derive(Deserialize)]
struct Record {
    country: Option<Country>,
    registered_country: Option<Country>,
    country_code: Option<String>,
    autonomous_system_number: Option<Number>,
    autonomous_system_organization: Option<String>,
    asn: Option<Number>,
    as_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Country {
    Record { iso_code: Option<String> },
    Text(String),
}

/// An AS number, as wide as its maker had it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Plain(u64),
    Text(String),
}

impl Number {
    fn value(&self) -> Option<u32> {
        match self {
            Self::Plain(number) => u32::try_from(*number).ok(),
            Self::Text(text) => text.strip_prefix("AS").unwrap_or(text).parse().ok(),
        }
    }
}

impl Record {
    /// Of where the address is, else of where its network is registered.
    fn country(&self) -> Option<Arc<str>> {
        let of = |country: &Country| match country {
            Country::Record { iso_code } => iso_code.clone(),
            Country::Text(text) => Some(text.clone()),
        };
        let registered = self.registered_country.as_ref();
        let codes = [
            self.country.as_ref().and_then(of),
            self.country_code.clone(),
            registered.and_then(of),
        ];
        let is_code =
            |code: &&String| code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase());
        codes.iter().flatten().find(is_code).map(|code| code.as_str().into())
    }

    fn network(&self) -> Option<Network> {
        let numbers = [&self.autonomous_system_number, &self.asn];
        let number = numbers.into_iter().flatten().find_map(Number::value)?;
        let name = self.autonomous_system_organization.as_ref().or(self.as_name.as_ref());
        let name = name.filter(|name| !name.is_empty()).map(|name| fit(name).into());
        Some(Network { number, name })
    }
}

/// Text of a database as it may be shown.
fn fit(text: &str) -> String {
    let cut: String = text.chars().take(NAME_CHARACTERS).collect();
    Untrusted::new(cut.as_bytes()).escaped().to_string()
}

impl Files {
    /// Reads and checks all files; `None` when there are none.
    pub(super) fn read(given: &Enrichment) -> Result<Option<Self>, Failure> {
        let Enrichment { mmdb, reputation, assets } = given;
        if mmdb.is_empty() && reputation.is_empty() && assets.is_empty() {
            return Ok(None);
        }
        let mut files = Self {
            databases: Vec::new(),
            lists: BTreeMap::new(),
            assets: Assets::default(),
            digests: String::new(),
        };
        for path in mmdb {
            let bytes = files.bytes(path, "the database")?;
            files.databases.push(database(path, bytes)?);
        }
        for (name, path) in reputation {
            let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            if !name.bytes().all(is_good) {
                let action = format!("read the reputation list `{}`", fit(name));
                return Err(Failure::because(action, "its name is not plain")
                    .hint("a name has letters, digits, `-`, `.` and `_`, such as spamhaus-drop"));
            }
            let text = files.text(path, "the reputation list")?;
            let list = ReputationList::parse(&shown(path), &text)
                .map_err(|errors| bad_input("read the reputation list", &errors, &text))?;
            files.lists.entry(name.as_str().into()).or_default().push(list);
        }
        for path in assets {
            let text = files.text(path, "the assets in")?;
            files
                .assets
                .add(&shown(path), &text)
                .map_err(|errors| bad_input("read the assets", &errors, &text))?;
        }
        Ok(Some(files))
    }

    /// The operator's own networks.
    pub(super) fn assets(&self) -> &Assets {
        &self.assets
    }

    /// SHA-256 over all files.
    pub(super) fn sha256(&self) -> String {
        sha256(&self.digests)
    }

    fn bytes(&mut self, path: &Path, what: &str) -> Result<Vec<u8>, Failure> {
        let bytes = fs::read(path)
            .map_err(|error| Failure::new(format!("read {what} `{}`", shown(path)), &error))?;
        self.digests.push_str(&sha256(&bytes));
        self.digests.push('\n');
        Ok(bytes)
    }

    fn text(&mut self, path: &Path, what: &str) -> Result<String, Failure> {
        let bytes = self.bytes(path, what)?;
        String::from_utf8(bytes)
            .map_err(|error| Failure::new(format!("read {what} `{}`", shown(path)), &error))
    }

    /// The first that a database knows of an address.
    fn first<T>(&self, address: IpAddr, of: impl Fn(&Record) -> Option<T>) -> Option<T> {
        self.databases.iter().find_map(|database| {
            // A database of IPv4 alone knows nothing of IPv6, and says so with an error.
            let record = database.lookup(address).and_then(|found| found.decode::<Record>());
            of(&record.ok()??)
        })
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("lists", &self.lists.keys()).finish_non_exhaustive()
    }
}

impl Backgrounds for Files {
    fn of(&self, source: IpNet) -> Background {
        let named = self.lists.iter().filter(|(_, lists)| lists.iter().any(|l| l.names(source)));
        Background {
            country: self.first(source.addr(), Record::country),
            network: self.first(source.addr(), Record::network),
            listed: named.map(|(name, _)| Arc::clone(name)).collect(),
            asset: self.assets.name(source).map(|name| fit(name).into()),
        }
    }
}

/// A database, checked to its end, that knows countries or networks.
fn database(path: &Path, bytes: Vec<u8>) -> Result<Reader<Vec<u8>>, Failure> {
    let action = || format!("read the database `{}`", shown(path));
    let broken = |error: &MaxMindDbError| {
        Failure::because(action(), fit(&error.to_string()))
            .hint("fetch the file again; it must be in the MaxMind DB format, not zipped")
    };
    let reader = Reader::from_source(bytes).map_err(|error| broken(&error))?;
    reader.verify().map_err(|error| broken(&error))?;
    let mut networks = reader.networks(WithinOptions::default()).map_err(|error| broken(&error))?;
    let useful = networks.by_ref().take(TRIED_RECORDS).any(|found| {
        let record = found.and_then(|found| found.decode::<Record>());
        let record = record.ok().flatten();
        record.is_some_and(|record| record.country().is_some() || record.network().is_some())
    });
    if !useful {
        let kind = fit(&reader.metadata().database_type);
        let detail = format!("it is of type `{kind}`, and knows neither countries nor AS numbers");
        return Err(Failure::because(action(), detail)
            .hint("databases of countries, cities, networks and providers do"));
    }
    drop(networks);
    Ok(reader)
}

fn shown(path: &Path) -> String {
    inert(&path.to_string_lossy())
}

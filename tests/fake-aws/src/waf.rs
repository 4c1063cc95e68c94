//! IP sets with the rules of AWS WAF, version 2.
//!
//! Sources: AWS WAF API reference, `CreateIPSet`, `GetIPSet`, `UpdateIPSet`,
//! `ListIPSets`, `DeleteIPSet`; AWS WAF quotas. Where a rule was seen only in the
//! answers of the service it is the message that such answers have.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use ipnet::IpNet;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Most addresses in one set.
const MAX_ADDRESSES: usize = 10_000;

/// Most sets of one account, region and scope.
const MAX_SETS: usize = 100;

/// One IP set as the service holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpSetRecord {
    /// Its id, a UUID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `IPV4` or `IPV6`.
    pub version: String,
    /// Its description.
    pub description: Option<String>,
    /// Its addresses, as they were written.
    pub addresses: Vec<String>,
    /// The token of this version, a UUID.
    pub lock_token: String,
    /// How often it was updated.
    pub updates: u64,
}

/// Region, scope and name of a set.
type Key = (String, String, String);

#[derive(Debug, Default)]
pub(crate) struct Waf {
    sets: BTreeMap<Key, IpSetRecord>,
    /// The value before the last one, for stale reads.
    before: BTreeMap<Key, IpSetRecord>,
    last_update: BTreeMap<String, Instant>,
    tokens: u64,
}

pub(crate) struct Call<'a> {
    pub(crate) target: &'a str,
    pub(crate) region: &'a str,
    pub(crate) body: &'a [u8],
    pub(crate) page_size: usize,
    pub(crate) least_between_updates: Duration,
    pub(crate) shows_old: bool,
}

/// A refusal: the error's name and fields.
pub(crate) struct Refusal {
    name: &'static str,
    body: Value,
}

type Answer = Result<Value, Refusal>;

impl std::fmt::Debug for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.name, self.body)
    }
}

fn refuse<Value>(name: &'static str, message: &str) -> Result<Value, Refusal> {
    Err(Refusal { name, body: json!({"Message": message}) })
}

/// As the service words it, with the lower-case field that it has.
fn invalid<Value>(field: &str, parameter: &str, reason: &str) -> Result<Value, Refusal> {
    let message = format!(
        "Error reason: The parameter contains formatting that is not valid., field: {field}, \
         parameter: {parameter}"
    );
    let body =
        json!({"message": message, "Field": field, "Parameter": parameter, "Reason": reason});
    Err(Refusal { name: "WAFInvalidParameterException", body })
}

impl Waf {
    pub(crate) fn find(&self, region: &str, scope: &str, name: &str) -> Option<&IpSetRecord> {
        self.sets.get(&(region.to_owned(), scope.to_owned(), name.to_owned()))
    }

    pub(crate) fn call(&mut self, call: &Call<'_>) -> Response {
        let answer = match serde_json::from_slice::<Value>(call.body) {
            Ok(body) => self.dispatch(call, &body),
            Err(error) => refuse("SerializationException", &error.to_string()),
        };
        match answer {
            Ok(body) => respond(StatusCode::OK, None, &body),
            Err(Refusal { name, body }) => respond(StatusCode::BAD_REQUEST, Some(name), &body),
        }
    }

    fn dispatch(&mut self, call: &Call<'_>, body: &Value) -> Answer {
        let Some(operation) = call.target.strip_prefix("AWSWAF_20190729.") else {
            return refuse("UnknownOperationException", call.target);
        };
        let scope = text(body, "Scope")?;
        match scope {
            "REGIONAL" => {}
            "CLOUDFRONT" if call.region == "us-east-1" => {}
            "CLOUDFRONT" => return invalid("SCOPE_VALUE", scope, "CloudFront is in us-east-1"),
            other => return invalid("SCOPE_VALUE", other, "no scope"),
        }
        if matches!(operation, "CreateIPSet" | "UpdateIPSet") {
            let now = Instant::now();
            let last = self.last_update.get(call.region);
            if last.is_some_and(|last| now.duration_since(*last) < call.least_between_updates) {
                return refuse("ThrottlingException", "Rate exceeded");
            }
            self.last_update.insert(call.region.to_owned(), now);
        }
        match operation {
            "CreateIPSet" => self.create_call(call.region, scope, body),
            "GetIPSet" => self.get(call, scope, body),
            "UpdateIPSet" => self.update(call.region, scope, body),
            "ListIPSets" => self.list(call, scope, body),
            "DeleteIPSet" => self.delete(call.region, scope, body),
            other => refuse("UnknownOperationException", other),
        }
    }

    fn create_call(&mut self, region: &str, scope: &str, body: &Value) -> Answer {
        let (name, version) = (text(body, "Name")?, text(body, "IPAddressVersion")?);
        let description = body.get("Description").and_then(Value::as_str);
        let addresses = strings(body, "Addresses")?;
        let record = self.create(region, scope, name, version, description, &addresses)?;
        Ok(json!({"Summary": summary(region, scope, &record)}))
    }

    pub(crate) fn create(
        &mut self,
        region: &str,
        scope: &str,
        name: &str,
        version: &str,
        description: Option<&str>,
        addresses: &[String],
    ) -> Result<IpSetRecord, Refusal> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        if name.is_empty() || name.len() > 128 || !name.chars().all(allowed) {
            return invalid("NAME", name, "not a name");
        }
        if !matches!(version, "IPV4" | "IPV6") {
            return invalid("IP_ADDRESS_VERSION", version, "IPV4 or IPV6");
        }
        check_description(description)?;
        check_addresses(version, addresses)?;
        let key = (region.to_owned(), scope.to_owned(), name.to_owned());
        if self.sets.contains_key(&key) {
            return refuse("WAFDuplicateItemException", "there is a set of this name");
        }
        let like = self.sets.keys().filter(|(r, s, _)| r == region && s == scope).count();
        if like >= MAX_SETS {
            return refuse("WAFLimitsExceededException", "100 sets are the limit");
        }
        let record = IpSetRecord {
            id: self.uuid(),
            name: name.to_owned(),
            version: version.to_owned(),
            description: description.map(str::to_owned),
            addresses: addresses.to_vec(),
            lock_token: self.uuid(),
            updates: 0,
        };
        self.sets.insert(key, record.clone());
        Ok(record)
    }

    /// Another client's edit: read, change, write.
    pub(crate) fn edit(
        &mut self,
        region: &str,
        scope: &str,
        name: &str,
        add: &[&str],
        remove: &[&str],
    ) -> Result<(), Refusal> {
        let key = (region.to_owned(), scope.to_owned(), name.to_owned());
        let Some(record) = self.sets.get(&key).cloned() else {
            return refuse("WAFNonexistentItemException", "there is no such set");
        };
        let network = |text: &str| text.parse::<IpNet>().ok();
        let mut addresses = record.addresses.clone();
        addresses.retain(|address| !remove.iter().any(|gone| network(gone) == network(address)));
        for added in add {
            if !addresses.iter().any(|address| network(address) == network(added)) {
                addresses.push((*added).to_owned());
            }
        }
        check_addresses(&record.version, &addresses)?;
        self.replace(key, IpSetRecord { addresses, ..record });
        Ok(())
    }

    fn get(&self, call: &Call<'_>, scope: &str, body: &Value) -> Answer {
        let key = self.key(call.region, scope, body)?;
        let current = &self.sets[&key];
        let record = self.before.get(&key).filter(|_| call.shows_old).unwrap_or(current);
        let addresses: Vec<_> = record.addresses.iter().map(|text| echoed(text)).collect();
        let set = json!({
            "Name": record.name,
            "Id": record.id,
            "ARN": arn(call.region, scope, record),
            // The service shows an empty text for a missing one.
            "Description": record.description.clone().unwrap_or_default(),
            "IPAddressVersion": record.version,
            "Addresses": addresses,
        });
        Ok(json!({"IPSet": set, "LockToken": record.lock_token}))
    }

    fn update(&mut self, region: &str, scope: &str, body: &Value) -> Answer {
        let key = self.key(region, scope, body)?;
        let record = self.sets[&key].clone();
        let description = body.get("Description").and_then(Value::as_str);
        check_description(description)?;
        let addresses = strings(body, "Addresses")?;
        check_addresses(&record.version, &addresses)?;
        if text(body, "LockToken")? != record.lock_token {
            return refuse(
                "WAFOptimisticLockException",
                "AWS WAF couldn’t save your changes because someone changed the resource",
            );
        }
        let description = description.map(str::to_owned);
        let token = self.replace(key, IpSetRecord { description, addresses, ..record });
        Ok(json!({"NextLockToken": token}))
    }

    fn replace(&mut self, key: Key, mut record: IpSetRecord) -> String {
        record.lock_token = self.uuid();
        record.updates += 1;
        let token = record.lock_token.clone();
        if let Some(before) = self.sets.insert(key.clone(), record) {
            self.before.insert(key, before);
        }
        token
    }

    fn list(&self, call: &Call<'_>, scope: &str, body: &Value) -> Answer {
        let asked = match body.get("Limit") {
            None | Some(Value::Null) => 100,
            Some(limit) => limit.as_u64().unwrap_or_default() as usize,
        };
        if !(1..=100).contains(&asked) {
            return invalid("LIMIT", &asked.to_string(), "1 to 100");
        }
        let after = body.get("NextMarker").and_then(Value::as_str).unwrap_or_default();
        let here = |(region, of_scope, name): &&Key| {
            region == call.region && of_scope == scope && name.as_str() > after
        };
        let mut keys: Vec<_> = self.sets.keys().filter(here).collect();
        let more = keys.len() > asked.min(call.page_size);
        keys.truncate(asked.min(call.page_size));
        let sets: Vec<_> =
            keys.iter().map(|key| summary(call.region, scope, &self.sets[*key])).collect();
        let mut answer = json!({"IPSets": sets});
        if let Some((_, _, last)) = keys.last().filter(|_| more) {
            answer["NextMarker"] = json!(last);
        }
        Ok(answer)
    }

    fn delete(&mut self, region: &str, scope: &str, body: &Value) -> Answer {
        let key = self.key(region, scope, body)?;
        if text(body, "LockToken")? != self.sets[&key].lock_token {
            return refuse("WAFOptimisticLockException", "somebody changed the set");
        }
        self.sets.remove(&key);
        Ok(json!({}))
    }

    /// The set that name and id name together.
    fn key(&self, region: &str, scope: &str, body: &Value) -> Result<Key, Refusal> {
        let (name, id) = (text(body, "Name")?, text(body, "Id")?);
        match self.find(region, scope, name) {
            Some(record) if record.id == id => {
                Ok((region.to_owned(), scope.to_owned(), name.to_owned()))
            }
            _ => refuse("WAFNonexistentItemException", "there is no such set"),
        }
    }

    fn uuid(&mut self) -> String {
        self.tokens += 1;
        let hash = Sha256::digest(self.tokens.to_be_bytes());
        let number = hash[..16].iter().fold(0_u128, |all, byte| (all << 8) | u128::from(*byte));
        let hex = format!("{number:032x}");
        format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
    }
}

fn text<'a>(body: &'a Value, field: &str) -> Result<&'a str, Refusal> {
    match body.get(field).and_then(Value::as_str) {
        Some(text) => Ok(text),
        None => invalid(field, "", "it is required"),
    }
}

fn strings(body: &Value, field: &str) -> Result<Vec<String>, Refusal> {
    let entries = body.get(field).and_then(Value::as_array);
    let strings = entries.and_then(|entries| {
        entries.iter().map(|entry| entry.as_str().map(str::to_owned)).collect()
    });
    match strings {
        Some(strings) => Ok(strings),
        None => invalid(field, "", "a list of strings is required"),
    }
}

fn check_description(description: Option<&str>) -> Result<(), Refusal> {
    let Some(description) = description else {
        return Ok(());
    };
    let solid = |c: char| c.is_ascii_alphanumeric() || "_+=:#@/-,.".contains(c);
    let good = (3..=256).contains(&description.len())
        && description.chars().all(|c| solid(c) || c.is_ascii_whitespace())
        && description.starts_with(solid)
        && description.ends_with(solid);
    if good { Ok(()) } else { invalid("DESCRIPTION", description, "not a description") }
}

fn check_addresses(version: &str, addresses: &[String]) -> Result<(), Refusal> {
    if addresses.len() > MAX_ADDRESSES {
        return refuse("WAFLimitsExceededException", "10,000 addresses are the limit");
    }
    let mut seen = std::collections::BTreeSet::new();
    for address in addresses {
        let network: Option<IpNet> = address.parse().ok();
        let good = network.is_some_and(|network| {
            let family = if network.network().is_ipv4() { "IPV4" } else { "IPV6" };
            network.trunc() == network && network.prefix_len() > 0 && family == version
        });
        if !good || address.len() > 50 {
            return invalid("IP_ADDRESS", address, "not a network of this version");
        }
        if !seen.insert(network) {
            return invalid("IP_ADDRESS", address, "it is there twice");
        }
    }
    Ok(())
}

/// IPv6 comes back with every digit: clients must compare networks, not texts.
fn echoed(address: &str) -> String {
    match address.parse::<IpNet>() {
        Ok(IpNet::V6(network)) => {
            let groups = Ipv6Addr::segments(&network.addr());
            let groups: Vec<_> = groups.iter().map(|group| format!("{group:04x}")).collect();
            format!("{}/{}", groups.join(":"), network.prefix_len())
        }
        _ => address.to_owned(),
    }
}

fn arn(region: &str, scope: &str, record: &IpSetRecord) -> String {
    let place = if scope == "CLOUDFRONT" { "global" } else { "regional" };
    let IpSetRecord { name, id, .. } = record;
    format!("arn:aws:wafv2:{region}:{}:{place}/ipset/{name}/{id}", crate::ACCOUNT)
}

fn summary(region: &str, scope: &str, record: &IpSetRecord) -> Value {
    json!({
        "Name": record.name,
        "Id": record.id,
        "Description": record.description.clone().unwrap_or_default(),
        "LockToken": record.lock_token,
        "ARN": arn(region, scope, record),
    })
}

fn respond(status: StatusCode, error: Option<&str>, body: &Value) -> Response {
    let mut body = body.clone();
    let mut response = Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amzn-requestid", "00000000-0000-4000-8000-000000000000");
    if let Some(name) = error {
        response = response.header("x-amzn-errortype", name);
        body["__type"] = json!(name);
    }
    response.body(Body::from(body.to_string())).expect("a body makes a response")
}

pub(crate) fn throttled() -> Response {
    let body = json!({"message": "Rate exceeded"});
    respond(StatusCode::BAD_REQUEST, Some("ThrottlingException"), &body)
}

pub(crate) fn broken() -> Response {
    let body = json!({"Message": "something went wrong"});
    respond(StatusCode::INTERNAL_SERVER_ERROR, Some("WAFInternalErrorException"), &body)
}

//! The IP sets of one target, in AWS WAF.
//!
//! The API wants a set's id, its name and its scope together, lists sets in pages that
//! the SDK does not turn, and replaces name, description and addresses as a whole. So
//! ids are looked up once by turning every page, and an update sends back what was
//! read. Which account the credentials belong to is not asked: every set's ARN says it,
//! and a set of another account is refused.
//!
//! Sources: AWS WAF API reference, `ListIPSets`, `GetIPSet`, `UpdateIPSet`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use aws_config::Region;
use aws_config::retry::RetryConfig;
use aws_sdk_wafv2::Client;
use aws_sdk_wafv2::config::Builder;
use aws_sdk_wafv2::config::http::HttpResponse;
use aws_sdk_wafv2::error::SdkError;
use aws_sdk_wafv2::operation::get_ip_set::{GetIPSetError, GetIpSetOutput};
use portcullis_remediation::{
    Family, IpSet, IpSets, ReadError, Scope, SetError, Sets, Target, WriteError, parse_network,
};

use crate::connection::Connection;
use crate::failure::{Fate, failure, with_remedy};
use crate::pace::Pace;
use crate::patience::tries;

/// An IP set as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its id, a UUID.
    pub id: String,
    /// Its ARN, which names the account.
    pub arn: String,
}

/// The IP sets of one account, region and scope.
#[derive(Debug)]
pub struct WafIpSets {
    /// Makes a call again that fails.
    patient: Client,
    /// Makes each call once.
    once: Client,
    target: Target,
    pace: Pace,
    ids: Mutex<BTreeMap<String, String>>,
}

impl WafIpSets {
    /// The sets of `target`. `pace` is shared by all that write to the same account and
    /// region.
    pub fn new(connection: &Connection, target: &Target, pace: Pace) -> Self {
        let region = Region::new(target.region().to_owned());
        let client = |retry| {
            let config = Builder::from(&connection.config).region(region.clone());
            Client::from_conf(config.retry_config(retry).build())
        };
        Self {
            patient: client(tries()),
            // A second try of an update that went through would be told that somebody
            // changed the set; and whoever applies changes tries again by himself, ten
            // times ten would take minutes.
            once: client(RetryConfig::disabled()),
            target: target.clone(),
            pace,
            ids: Mutex::default(),
        }
    }

    /// Tells the id of a set, so that it need not be looked for.
    pub fn know(&self, name: &str, id: &str) {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.insert(name.to_owned(), id.to_owned());
    }

    /// Every IP set of the scope, by name.
    pub async fn list(&self) -> Result<Vec<Listed>, ReadError> {
        self.list_by(&self.patient).await
    }

    async fn list_by(&self, client: &Client) -> Result<Vec<Listed>, ReadError> {
        let mut listed = Vec::new();
        let mut marker = None;
        loop {
            let call = client.list_ip_sets().scope(scope(&self.target));
            let page = call.set_next_marker(marker.clone()).send().await;
            let page = page.map_err(|error| {
                let (fate, _, text) = failure(&error);
                unreadable(fate, text)
            })?;
            listed.extend(page.ip_sets().iter().filter_map(|set| {
                let (name, id) = (set.name()?.to_owned(), set.id()?.to_owned());
                Some(Listed { name, id, arn: set.arn().unwrap_or_default().to_owned() })
            }));
            // The service repeats its last marker at the end of some lists.
            let next = page.next_marker().map(str::to_owned);
            if next.is_none() || next == marker {
                break;
            }
            marker = next;
        }
        listed.sort();
        Ok(listed)
    }

    /// These sets as they are, for a plan.
    pub async fn read_all(&self, names: &[&str]) -> Result<Sets, ReadError> {
        let mut sets = Vec::with_capacity(names.len());
        for name in names {
            sets.push(self.read_by(&self.patient, name).await?);
        }
        Sets::new(sets).map_err(|error| ReadError::Refused(error.to_string()))
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    pub(crate) async fn id(&self, name: &str) -> Result<String, ReadError> {
        self.id_by(&self.patient, name).await
    }

    async fn id_by(&self, client: &Client, name: &str) -> Result<String, ReadError> {
        let known = |name: &str| {
            let ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
            ids.get(name).cloned()
        };
        if let Some(id) = known(name) {
            return Ok(id);
        }
        for listed in self.list_by(client).await? {
            if listed.name == name {
                self.check_account(&listed)?;
            }
            let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
            ids.insert(listed.name, listed.id);
        }
        known(name).ok_or_else(|| ReadError::Missing(name.to_owned()))
    }

    pub(crate) async fn get(
        &self,
        name: &str,
        id: &str,
    ) -> Result<GetIpSetOutput, SdkError<GetIPSetError, HttpResponse>> {
        self.get_by(&self.patient, name, id).await
    }

    async fn get_by(
        &self,
        client: &Client,
        name: &str,
        id: &str,
    ) -> Result<GetIpSetOutput, SdkError<GetIPSetError, HttpResponse>> {
        client.get_ip_set().name(name).scope(scope(&self.target)).id(id).send().await
    }

    async fn read_by(&self, client: &Client, name: &str) -> Result<IpSet, ReadError> {
        let id = self.id_by(client, name).await?;
        match self.get_by(client, name, &id).await {
            Ok(output) => described(&output),
            Err(error) => {
                let (fate, code, text) = failure(&error);
                if code.as_deref() == Some("WAFNonexistentItemException") {
                    // It may have been made again under the same name.
                    self.ids.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
                    return Err(ReadError::Missing(name.to_owned()));
                }
                Err(unreadable(fate, text))
            }
        }
    }

    fn check_account(&self, listed: &Listed) -> Result<(), ReadError> {
        let account = listed.arn.split(':').nth(4).unwrap_or_default();
        if account == self.target.account() {
            return Ok(());
        }
        Err(ReadError::Refused(format!(
            "set `{}` belongs to account {account}, and the target is {}",
            listed.name, self.target
        )))
    }
}

impl IpSets for WafIpSets {
    async fn read(&self, name: &str) -> Result<IpSet, ReadError> {
        self.read_by(&self.once, name).await
    }

    async fn write(&self, set: &IpSet) -> Result<(), WriteError> {
        let id = self.id_by(&self.once, set.name()).await.map_err(|error| match error {
            ReadError::Temporary(text) => WriteError::Busy(text),
            other => WriteError::Refused(other.to_string()),
        })?;
        let addresses = set.addresses().iter().map(ToString::to_string).collect();
        self.pace.turn().await;
        let call = self
            .once
            .update_ip_set()
            .name(set.name())
            .scope(scope(&self.target))
            .id(id)
            // What is left out may be lost.
            .set_description(set.description().map(str::to_owned))
            .set_addresses(Some(addresses))
            .set_lock_token(set.lock_token().map(str::to_owned));
        let Err(error) = call.send().await else {
            return Ok(());
        };
        let (fate, code, text) = failure(&error);
        Err(match (code.as_deref(), fate) {
            (Some("WAFOptimisticLockException"), _) => WriteError::Stale,
            (_, Fate::Throttled) => WriteError::Busy(text),
            (_, Fate::Refused) => WriteError::Refused(with_remedy(text)),
            (_, Fate::Unknown) => WriteError::Unknown(text),
        })
    }
}

fn scope(target: &Target) -> aws_sdk_wafv2::types::Scope {
    match target.scope() {
        Scope::Regional => aws_sdk_wafv2::types::Scope::Regional,
        Scope::CloudFront => aws_sdk_wafv2::types::Scope::Cloudfront,
    }
}

fn unreadable(fate: Fate, text: String) -> ReadError {
    match fate {
        Fate::Refused => ReadError::Refused(with_remedy(text)),
        Fate::Throttled | Fate::Unknown => ReadError::Temporary(text),
    }
}

/// The set as remediation knows it. An entry that cannot be read is an error: the set
/// would be written back without it.
fn described(output: &GetIpSetOutput) -> Result<IpSet, ReadError> {
    let refused = |text: String| ReadError::Refused(text);
    let set = output.ip_set().ok_or_else(|| refused("the answer holds no IP set".to_owned()))?;
    let version = set.ip_address_version().as_str();
    let family = Family::from_name(version)
        .ok_or_else(|| refused(format!("set `{}` is of the unknown kind {version}", set.name())))?;
    let bad_set = |error: SetError| refused(error.to_string());
    let mut read = IpSet::new(set.name(), family)
        .and_then(|empty| empty.with_description(set.description().unwrap_or_default()))
        .map_err(bad_set)?
        .with_lock_token(output.lock_token().map(str::to_owned));
    for address in set.addresses() {
        let network = parse_network(address).map_err(|error| refused(error.to_string()))?;
        read.insert(network).map_err(|error| refused(error.to_string()))?;
    }
    Ok(read)
}

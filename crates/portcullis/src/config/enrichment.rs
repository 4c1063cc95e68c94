//! `[enrichment]`: files that say more of addresses than the logs do.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::args::Enrichment;

/// Defaults of the options of the same names.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct EnrichmentSettings {
    /// Databases of countries and networks.
    mmdb: Vec<PathBuf>,
    /// Reputation lists by name.
    reputation: BTreeMap<String, PathBuf>,
    /// The operator's own networks.
    pub(super) assets: Vec<PathBuf>,
}

impl EnrichmentSettings {
    /// The files, to be found from where the configuration is.
    pub(super) fn files(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.mmdb.iter_mut().chain(self.reputation.values_mut()).chain(&mut self.assets)
    }

    /// As the command line has it.
    pub(super) fn options(&self) -> Enrichment {
        Enrichment {
            mmdb: self.mmdb.clone(),
            reputation: self.reputation.clone().into_iter().collect(),
            assets: self.assets.clone(),
        }
    }
}

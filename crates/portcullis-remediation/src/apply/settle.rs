//! Brings one set to where the changes want it, and settles what was begun before.

use ipnet::IpNet;
use portcullis_ingest::Timestamp;

use super::{ApplyError, MAX_CONFLICTS, MAX_TROUBLES, Order, Session};
use crate::audit::{Event, Said};
use crate::changes::Changes;
use crate::delta::{Delta, Unsettled, delta};
use crate::ipset::IpSet;
use crate::ledger::{Added, Entry, Intent, Removal};
use crate::store::{Clock, IpSets, LedgerStore, WriteError};

impl<Store: LedgerStore, Time: Clock> Session<'_, Store, Time> {
    /// Brings one set to where the changes want it, and the ledger with it.
    pub(super) async fn settle(
        &mut self,
        mut current: IpSet,
        changes: &Changes,
        order: &Order<'_>,
        sets: &impl IpSets,
    ) -> Result<(), ApplyError> {
        let name = current.name().to_owned();
        let (mut conflicts, mut troubles) = (0, 0);
        let mut first_trouble = None;
        let mut unsettled = Unsettled::default();
        let mut is_settled = true;
        loop {
            let now = self.clock.now();
            let delta = delta(changes, &current, &unsettled, self.situation(order, now));
            if is_settled && !delta.needs_write(&current) {
                return self.commit(&name, delta).await;
            }
            self.intend(&current, &delta, &unsettled).await?;
            let written = sets.write(&delta.target).await;
            let tries = conflicts + troubles + 1;
            let error = match written {
                Ok(()) => {
                    self.has_written = true;
                    let after = self.read(sets, &name).await;
                    let shows = |set: &IpSet| set.addresses() == delta.target.addresses();
                    if !after.is_ok_and(|set| shows(&set)) {
                        self.applied.unconfirmed.push(name.clone());
                    }
                    return self.commit(&name, delta).await;
                }
                Err(error) => error,
            };
            let may_try_again = match &error {
                WriteError::Stale => {
                    conflicts += 1;
                    self.applied.conflicts += 1;
                    conflicts <= MAX_CONFLICTS
                }
                WriteError::Busy(_) | WriteError::Unknown(_) => {
                    troubles += 1;
                    self.applied.troubles += 1;
                    if matches!(error, WriteError::Unknown(_)) {
                        is_settled = false;
                        unsettled.extend(delta);
                    }
                    let begun = *first_trouble.get_or_insert(now);
                    troubles <= MAX_TROUBLES && !self.is_over(begun)
                }
                WriteError::Refused(_) => false,
            };
            if !may_try_again {
                if is_settled && self.is_begun(&name) {
                    // Nothing of it was written: there is nothing to settle.
                    self.ledger.intent = None;
                }
                return Err(ApplyError::Write { set: name, tries, error });
            }
            self.pause(&name, tries).await;
            current = self.read(sets, &name).await?;
        }
    }

    /// Writes down what is about to be written, and what may still be on its way.
    ///
    /// There is room for one set. While another one's write is not settled, only removals
    /// come here, and they can do without: whoever finds them done after a crash takes them
    /// for somebody else's, which claims nothing and keeps nothing blocked.
    async fn intend(
        &mut self,
        current: &IpSet,
        delta: &Delta,
        unsettled: &Unsettled,
    ) -> Result<(), ApplyError> {
        if self.ledger.intent.as_ref().is_some_and(|intent| intent.set != current.name()) {
            return self.save().await;
        }
        let mut additions = unsettled.additions.clone();
        additions.extend(delta.additions.clone());
        self.ledger.intent = Some(Intent {
            operation: self.operation.to_owned(),
            who: self.who.to_owned(),
            plan_sha256: self.plan_sha256.map(str::to_owned),
            set: current.name().to_owned(),
            base_sha256: current.digest(),
            target_sha256: delta.target.digest(),
            additions,
            removals: delta.removals.clone(),
        });
        self.save().await
    }

    /// Takes what was written into the ledger, and into the account.
    async fn commit(&mut self, set: &str, delta: Delta) -> Result<(), ApplyError> {
        let had_intent = self.ledger.intent.take_if(|intent| intent.set == set).is_some();
        let changes_ledger = !delta.is_empty();
        let now = self.clock.now();
        let additions = delta.additions.len() as u64;
        for (network, entry) in delta.additions {
            self.take_in(set, network, entry, "");
        }
        if additions > 0 {
            self.ledger.added.push(Added { time: now, entries: additions });
        }
        for (network, entry) in delta.renewals {
            let reason = format!("{}; until {}", entry.cause.reason, entry.expires);
            self.tell(Event::Renew, set, network, reason);
            self.ledger.entries.insert(network, entry);
        }
        for (network, why) in delta.removals {
            self.let_go(set, network, why, now);
        }
        for network in delta.overruled {
            self.ledger.overrule(network, now);
            let reason = "somebody else took it out of the set".to_owned();
            self.tell(Event::Override, set, network, reason);
            self.applied.overridden.push(network);
        }
        self.applied.done.extend(delta.done);
        if changes_ledger {
            self.ledger.serial += 1;
            self.ledger.last_operation = Some(self.operation.to_owned());
            self.ledger.forget(now);
        }
        if changes_ledger || had_intent {
            self.save().await?;
            self.hand_on().await;
        }
        Ok(())
    }

    fn take_in(&mut self, set: &str, network: IpNet, entry: Entry, note: &str) {
        let reason = format!("{}; until {}{note}", entry.cause.reason, entry.expires);
        self.tell(Event::Add, set, network, reason);
        self.ledger.past.remove(&network);
        self.ledger.entries.insert(network, entry);
    }

    fn let_go(&mut self, set: &str, network: IpNet, why: Removal, now: Timestamp) {
        let event = match why {
            Removal::Expired => Event::Expire,
            Removal::Pardoned => Event::Pardon,
            _ => Event::Remove,
        };
        self.ledger.end(network, why, now);
        self.tell(event, set, network, why.reason().to_owned());
    }

    fn tell(&mut self, event: Event, set: &str, network: IpNet, reason: String) {
        self.say(Said { event, set: Some(set.to_owned()), network: Some(network), reason });
    }

    /// Settles what an earlier run began: writes the set once more with the value it
    /// has, which shows that the value is the newest and that nothing older is on its
    /// way, and takes from it what became of each entry.
    pub(super) async fn recover(
        &mut self,
        intent: &Intent,
        sets: &impl IpSets,
    ) -> Result<(), ApplyError> {
        let begun = self.clock.now();
        let mut tries = 0;
        let current = loop {
            let current = self.read(sets, &intent.set).await?;
            let Err(error) = sets.write(&current).await else {
                break current;
            };
            tries += 1;
            self.applied.troubles += 1;
            let is_over = tries > MAX_CONFLICTS + MAX_TROUBLES || self.is_over(begun);
            if is_over || matches!(error, WriteError::Refused(_)) {
                return Err(ApplyError::Write { set: intent.set.clone(), tries, error });
            }
            self.pause(&intent.set, tries).await;
        };
        let now = self.clock.now();
        let note = format!(" (begun by {} as {})", intent.who, intent.operation);
        let mut additions = 0;
        for (network, entry) in &intent.additions {
            let is_there = current.addresses().contains(network);
            if is_there && !self.ledger.entries.contains_key(network) {
                self.take_in(&intent.set, *network, entry.clone(), &note);
                self.applied.recovered.push(*network);
                additions += 1;
            }
        }
        for (network, why) in &intent.removals {
            let is_ours = self.ledger.entries.contains_key(network);
            if is_ours && !current.addresses().contains(network) {
                self.let_go(&intent.set, *network, *why, now);
                self.applied.recovered.push(*network);
            }
        }
        if additions > 0 {
            self.ledger.added.push(Added { time: now, entries: additions });
        }
        self.ledger.intent = None;
        if !self.applied.recovered.is_empty() {
            self.ledger.serial += 1;
            // The operation that was cut short may go on where it was.
            self.ledger.last_operation = Some(intent.operation.clone());
        }
        self.save().await?;
        self.hand_on().await;
        Ok(())
    }
}

//! Panes: how many counted requests fell into each second, and where the first stands.
//!
//! Objects arrive late and out of order, threads see parts, so no running window can be
//! kept. Panes merge by addition, and the windows slide over them once everything was
//! seen, which makes the result independent of order and of how the work was split. Until
//! then what is counted is kept more compactly, see [`super::counts`].

use std::sync::Arc;

use portcullis_ingest::Timestamp;

use crate::state::{Reader, StateError, Writer};

/// Counted requests of one second, or of one of the things told apart in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pane {
    /// Seconds since 1970, at which the pane begins.
    pub(crate) second: i64,
    /// Hash of what is told apart; 0 where nothing is.
    pub(crate) key: u64,
    /// Whether AWS WAF may have blocked them, and the log cannot tell.
    pub(crate) unclear: bool,
    /// Of the requests, the one that stands first: its object, as the scan numbers them.
    pub(crate) object: u32,
    /// Its offset.
    pub(crate) offset: u64,
    /// Requests.
    pub(crate) count: u32,
    /// What is summed up of them: bytes where bytes are measured, else 0.
    pub(crate) bytes: u64,
}

impl Pane {
    /// What panes are ordered by, and merged where it is equal.
    pub(crate) const fn rank(&self) -> (i64, u64, bool) {
        (self.second, self.key, self.unclear)
    }

    /// Adds a pane of the same rank.
    fn absorb(&mut self, other: &Self, objects: &[Arc<str>]) {
        self.count = self.count.saturating_add(other.count);
        self.bytes = self.bytes.saturating_add(other.bytes);
        let place = |pane: &Self| (objects.get(pane.object as usize), pane.offset);
        if place(other) < place(self) {
            self.object = other.object;
            self.offset = other.offset;
        }
    }
}

/// Sorts by rank, each once.
pub(super) fn merge_equal(panes: &mut Vec<Pane>, objects: &[Arc<str>]) {
    panes.sort_unstable_by_key(Pane::rank);
    panes.dedup_by(|next, kept| {
        let same = next.rank() == kept.rank();
        if same {
            kept.absorb(next, objects);
        }
        same
    });
}

impl Pane {
    /// Writes panes that are in order.
    pub(super) fn write_all(panes: &[Self], writer: &mut Writer, objects: &[Arc<str>]) {
        let tells_apart = panes.iter().any(|pane| pane.key != 0);
        writer.number(u64::from(tells_apart));
        writer.length(panes.len());
        let mut before = 0;
        for pane in panes {
            writer.signed(pane.second - before);
            before = pane.second;
            if tells_apart {
                writer.hash(pane.key);
            }
            writer.number(u64::from(pane.count) << 1 | u64::from(pane.unclear));
            writer.number(pane.bytes);
            writer.object(&objects[pane.object as usize]);
            writer.number(pane.offset);
        }
    }

    /// Panes whose objects are numbered as in [`Reader::objects`].
    pub(super) fn read_all(reader: &mut Reader<'_>) -> Result<Vec<Self>, StateError> {
        let tells_apart = reader.number()? != 0;
        let mut panes: Vec<Self> = Vec::new();
        let mut before = 0_i64;
        for _ in 0..reader.length()? {
            let second = before.checked_add(reader.signed()?);
            let is_time = |second: &i64| {
                second.checked_mul(1_000).and_then(Timestamp::from_epoch_ms).is_some()
            };
            let second = second.filter(is_time).ok_or(StateError::Value("a time"))?;
            before = second;
            let key = if tells_apart { reader.hash()? } else { 0 };
            let count = reader.number()?;
            panes.push(Self {
                second,
                key,
                unclear: count & 1 != 0,
                count: u32::try_from(count >> 1).map_err(|_| StateError::Value("a count"))?,
                bytes: reader.number()?,
                object: reader.object_number()?,
                offset: reader.number()?,
            });
        }
        if panes.is_sorted_by(|a, b| a.rank() < b.rank()) {
            Ok(panes)
        } else {
            Err(StateError::Value("the order of panes"))
        }
    }
}

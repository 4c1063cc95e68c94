//! Which records of a job are of a request that an earlier record told of.
//!
//! Engines sort rows, and a row for each record costs them more than reading the record
//! did. So identities travel packed, 16 bytes each: every task that reads deals them out to
//! as many parts as it is told, by their upper bits, and whoever has all of a part sorts it
//! here. Parts are of equal size, because identities are hashes of ids that only API Gateway
//! makes up; so memory is bounded by their number.

use portcullis_detection::{Reading, identities};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::settings::Settings;
use crate::{Bytes, FromPython, agreed_settings, guarded, wrong};

/// Bytes of a packed record: its identity, the number of its object, its place there.
const RECORD_BYTES: usize = size_of::<u128>();

fn packed(identity: u64, object: u32, place: u32) -> u128 {
    u128::from(identity) << 64 | u128::from(object) << 32 | u128::from(place)
}

/// Reads objects into packed identities.
#[pyclass(unsendable)]
pub(crate) struct Identities {
    reading: &'static Reading,
    parts: Vec<Vec<u8>>,
    kept_bytes: usize,
}

#[pymethods]
impl Identities {
    /// Deals identities out to so many parts.
    #[new]
    fn new(settings_text: &str, digest: &str, parts: u16) -> PyResult<Self> {
        let Settings { reading, .. } = agreed_settings(settings_text, digest)?;
        if parts == 0 {
            return Err(wrong("identities need at least one part"));
        }
        Ok(Self { reading, parts: vec![Vec::new(); usize::from(parts)], kept_bytes: 0 })
    }

    /// Reads one object; one that ends early gives none.
    fn object(
        &mut self,
        py: Python<'_>,
        number: u32,
        name: &str,
        source: Py<PyAny>,
    ) -> PyResult<()> {
        let (reading, source) = (self.reading, FromPython(source));
        let doing = format!("reading {name}");
        let found = py.detach(|| guarded(&doing, || identities(name, source, reading)))?;
        let parts = self.parts.len() as u128;
        for (identity, place) in found.0.into_iter().zip(0..) {
            let part = (u128::from(identity) * parts) >> 64;
            let record = packed(identity, number, place);
            self.parts[part as usize].extend_from_slice(&record.to_le_bytes());
            self.kept_bytes += RECORD_BYTES;
        }
        Ok(())
    }

    /// Bytes that are kept.
    fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// Takes everything out: the keys of parts and what they hold, in the same order.
    fn drain<'py>(&mut self, py: Python<'py>) -> (Bytes<'py>, Bytes<'py>) {
        self.kept_bytes = 0;
        let parts = self.parts.iter_mut().map(std::mem::take).zip(0_u16..);
        let held = parts.filter(|(records, _)| !records.is_empty());
        let key = |number: u16| PyBytes::new(py, &number.to_be_bytes());
        held.map(|(records, number)| (key(number), PyBytes::new(py, &records))).unzip()
    }
}

/// Tells twins among the records of one part.
#[pyclass(unsendable)]
#[derive(Default)]
pub(crate) struct Twins {
    records: Vec<u128>,
}

#[pymethods]
impl Twins {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Takes packed records in, in any order.
    fn push(&mut self, packed: &[u8]) -> PyResult<()> {
        let (records, []) = packed.as_chunks::<RECORD_BYTES>() else {
            return Err(wrong("packed records end within one"));
        };
        self.records.extend(records.iter().map(|record| u128::from_le_bytes(*record)));
        Ok(())
    }

    /// Objects and places of the twins among all that was taken in, which is let go of.
    fn take(&mut self) -> PyResult<(Vec<u32>, Vec<u32>)> {
        let mut records = std::mem::take(&mut self.records);
        records.sort_unstable();
        let mut twins = portcullis_detection::Twins::default();
        let mut found = (Vec::new(), Vec::new());
        for record in records {
            let (identity, object, place) =
                ((record >> 64) as u64, (record >> 32) as u32, record as u32);
            if twins.is_twin(identity, object, place).map_err(wrong)? {
                found.0.push(object);
                found.1.push(place);
            }
        }
        Ok(found)
    }
}

//! Canonical bytes: integers, texts and names in one form only.
//!
//! A state travels between machines and releases, so what is read may be anybody's: every
//! length is checked against what is left, every count against what sums can bear.

use std::collections::HashMap;
use std::sync::Arc;

use portcullis_ingest::{Timestamp, UntrustedBuf};

use super::StateError;

/// Largest count that is read. Sums of 65,536 such states do not overflow.
const MOST_COUNT: u64 = 1 << 48;

/// Writes the bytes of one state.
#[derive(Default)]
pub(crate) struct Writer {
    body: Vec<u8>,
    /// Names of objects in the order of their first use, which the contents decide.
    objects: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u64>,
}

impl Writer {
    /// A number in groups of seven bits, the lowest first; the high bit says that more
    /// follow.
    pub(crate) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.body.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.body.push(number.to_le_bytes()[0]);
    }

    /// The length of something.
    pub(crate) fn length(&mut self, length: usize) {
        self.number(length as u64);
    }

    pub(crate) fn signed(&mut self, number: i64) {
        // The sign goes last, so that small numbers of either sign are short.
        self.number(((number << 1) ^ (number >> 63)).cast_unsigned());
    }

    /// A hash, which is as long as it is.
    pub(crate) fn hash(&mut self, hash: u64) {
        self.body.extend_from_slice(&hash.to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.body.extend_from_slice(bytes);
    }

    pub(crate) fn time(&mut self, time: Option<Timestamp>) {
        match time {
            None => self.number(0),
            Some(time) => {
                self.number(1);
                self.signed(time.epoch_ms());
            }
        }
    }

    /// One of a list of names; absent is 0.
    pub(crate) fn name(&mut self, name: Option<&str>, names: impl Iterator<Item = &'static str>) {
        let place = name.and_then(|name| names.into_iter().position(|one| one == name));
        self.length(place.map_or(0, |place| place + 1));
    }

    pub(crate) fn object(&mut self, object: &Arc<str>) {
        let next = self.objects.len() as u64;
        let number = *self.numbers.entry(Arc::clone(object)).or_insert(next);
        if number == next {
            self.objects.push(Arc::clone(object));
        }
        self.number(number);
    }

    /// The bytes: a header, the names of objects, what was written.
    pub(crate) fn finish(self, header: &[u8]) -> Vec<u8> {
        let mut whole = Self { body: header.to_vec(), ..Self::default() };
        whole.length(self.objects.len());
        for object in &self.objects {
            whole.bytes(object.as_bytes());
        }
        whole.body.extend_from_slice(&self.body);
        whole.body
    }
}

/// Reads the bytes of one state.
pub(crate) struct Reader<'b> {
    rest: &'b [u8],
    objects: Vec<Arc<str>>,
}

impl<'b> Reader<'b> {
    /// Begins behind the header.
    pub(crate) fn new(bytes: &'b [u8]) -> Result<Self, StateError> {
        let mut reader = Self { rest: bytes, objects: Vec::new() };
        for _ in 0..reader.length()? {
            let name = reader.text()?;
            reader.objects.push(name.into());
        }
        Ok(reader)
    }

    /// Names of objects, by the numbers that [`Reader::object_number`] gives.
    pub(crate) fn objects(&self) -> &[Arc<str>] {
        &self.objects
    }

    /// Ends; nothing may be left.
    pub(crate) fn finish(&self) -> Result<(), StateError> {
        if self.rest.is_empty() { Ok(()) } else { Err(StateError::Trailing(self.rest.len())) }
    }

    fn take(&mut self, length: usize) -> Result<&'b [u8], StateError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(StateError::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn number(&mut self) -> Result<u64, StateError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                break;
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                // Another form of the same number would be another state of the same.
                let is_shortest = byte != 0 || shift == 0;
                return if is_shortest { Ok(number) } else { Err(StateError::Value("a number")) };
            }
        }
        Err(StateError::Value("a number"))
    }

    /// A number that is added up.
    pub(crate) fn count(&mut self) -> Result<u64, StateError> {
        self.number().and_then(|count| {
            if count <= MOST_COUNT { Ok(count) } else { Err(StateError::Value("a count")) }
        })
    }

    /// How many of something follow, each of at least one byte.
    pub(crate) fn length(&mut self) -> Result<usize, StateError> {
        let length = usize::try_from(self.number()?).map_err(|_| StateError::Short)?;
        if length <= self.rest.len() { Ok(length) } else { Err(StateError::Short) }
    }

    pub(crate) fn signed(&mut self) -> Result<i64, StateError> {
        let number = self.number()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    pub(crate) fn hash(&mut self) -> Result<u64, StateError> {
        let bytes = self.take(8)?.try_into().map_err(|_| StateError::Short)?;
        Ok(u64::from_le_bytes(bytes))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'b [u8], StateError> {
        let length = self.length()?;
        self.take(length)
    }

    pub(crate) fn untrusted(&mut self) -> Result<UntrustedBuf, StateError> {
        Ok(self.bytes()?.to_vec().into())
    }

    pub(crate) fn text(&mut self) -> Result<&'b str, StateError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| StateError::Value("a text"))
    }

    pub(crate) fn time(&mut self) -> Result<Option<Timestamp>, StateError> {
        match self.number()? {
            0 => Ok(None),
            1 => {
                let time = Timestamp::from_epoch_ms(self.signed()?);
                time.map(Some).ok_or(StateError::Value("a time"))
            }
            _ => Err(StateError::Value("a time")),
        }
    }

    pub(crate) fn name(
        &mut self,
        mut names: impl Iterator<Item = &'static str>,
    ) -> Result<Option<&'static str>, StateError> {
        match usize::try_from(self.number()?).unwrap_or(usize::MAX) {
            0 => Ok(None),
            place => names.nth(place - 1).map(Some).ok_or(StateError::Value("a name")),
        }
    }

    /// The number of an object in [`Reader::objects`].
    pub(crate) fn object_number(&mut self) -> Result<u32, StateError> {
        let number = self.number()?;
        let known = (number < self.objects.len() as u64).then(|| u32::try_from(number).ok());
        known.flatten().ok_or(StateError::Value("an object"))
    }

    pub(crate) fn object(&mut self) -> Result<Arc<str>, StateError> {
        let number = self.object_number()?;
        Ok(Arc::clone(&self.objects[number as usize]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            numbers in proptest::collection::vec(any::<u64>(), 0..20),
            signed in any::<i64>(),
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut writer = Writer::default();
            for number in &numbers {
                writer.number(*number);
            }
            writer.signed(signed);
            writer.bytes(&bytes);
            writer.object(&"a".into());
            let written = writer.finish(b"");
            let mut reader = Reader::new(&written).expect("a state");
            for number in &numbers {
                prop_assert_eq!(reader.number(), Ok(*number));
            }
            prop_assert_eq!(reader.signed(), Ok(signed));
            prop_assert_eq!(reader.bytes(), Ok(&bytes[..]));
            prop_assert_eq!(reader.object(), Ok("a".into()));
            prop_assert_eq!(reader.finish(), Ok(()));
        }
    }

    #[test]
    fn a_number_has_one_form() {
        let number = |bytes: &[u8]| Reader { rest: bytes, objects: Vec::new() }.number();
        assert_eq!(number(&[0x80, 0x01]), Ok(128));
        assert_eq!(number(&[0x81, 0x00]), Err(StateError::Value("a number")));
        assert_eq!(number(&[0xff; 11]), Err(StateError::Value("a number")));
        assert_eq!(number(&[0x80]), Err(StateError::Short));
    }
}

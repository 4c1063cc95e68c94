//! Reads times of the Common Log Format, most of which are of the minute before.
//!
//! Records of one object are of a few minutes. Once a minute is known, a time of it is its
//! two digits of seconds; everything around them only has to be the same.

use crate::Timestamp;

/// Bytes of such a time.
pub(crate) const TIME_BYTES: usize = 26;

/// Where the seconds stand in `dd/MMM/yyyy:HH:mm:ss +-hhmm`.
const SECONDS: std::ops::Range<usize> = 18..20;

/// The last minute that was read.
#[derive(Debug, Default)]
pub(crate) struct Minute {
    text: [u8; TIME_BYTES],
    /// Its beginning, once there is one.
    start: Option<Timestamp>,
}

impl Minute {
    /// What [`Timestamp::parse_clf`] gives.
    #[inline]
    pub(crate) fn time(&mut self, text: &[u8]) -> Option<Timestamp> {
        let text: &[u8; TIME_BYTES] = text.try_into().ok()?;
        if text[..SECONDS.start] != self.text[..SECONDS.start]
            || text[SECONDS.end..] != self.text[SECONDS.end..]
        {
            self.begin(text);
        }
        let [tens, ones] = [18, 19].map(|at: usize| text[at].wrapping_sub(b'0'));
        if tens > 5 || ones > 9 {
            // A leap second, or no time.
            return Timestamp::parse_clf(text);
        }
        let milliseconds = i64::from(tens * 10 + ones) * 1_000;
        Timestamp::from_epoch_ms(self.start?.epoch_ms() + milliseconds)
    }

    fn begin(&mut self, text: &[u8; TIME_BYTES]) {
        self.text = *text;
        let mut start = *text;
        start[SECONDS].copy_from_slice(b"00");
        self.start = Timestamp::parse_clf(&start);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn times_are_what_they_are_without_a_memory(
            texts in prop::collection::vec(
                ("(26/Jan/2026|31/Dec/9999|01/Jan/1970|30/Feb/2024)", "[0-6:/][0-9:]", "( \\+0000| -1000| \\+0330)"),
                1..12,
            ),
            minutes in prop::collection::vec(0_u32..3, 12),
        ) {
            let mut minute = Minute::default();
            for ((date, second, offset), number) in texts.iter().zip(&minutes) {
                let hour = number * 10 + number;
                let text = format!("{date}:{hour:02}:5{number}:{second}{offset}");
                prop_assert_eq!(minute.time(text.as_bytes()), Timestamp::parse_clf(text.as_bytes()), "{}", text);
            }
        }
    }

    #[test]
    fn what_is_no_time_is_none_before_and_after_one() {
        let mut minute = Minute::default();
        assert_eq!(minute.time(&[0; TIME_BYTES]), None);
        assert_eq!(minute.time(b""), None);
        assert!(minute.time(b"26/Jan/2026:10:11:07 +0000").is_some());
        assert_eq!(minute.time(b"26/Jan/2026:10:11:0x +0000"), None);
    }
}

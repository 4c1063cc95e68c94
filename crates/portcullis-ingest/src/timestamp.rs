//! When a request happened, in milliseconds since 1970, UTC.

use std::fmt;

/// An instant: milliseconds since 1970-01-01T00:00:00Z, between years 1970 and 9999.
///
/// `Display` writes RFC 3339 in UTC with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The last instant that four-digit years can write.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// From milliseconds since 1970; `None` when before 1970 or after 9999.
    pub const fn from_epoch_ms(epoch_ms: i64) -> Option<Self> {
        if epoch_ms < 0 || epoch_ms > Self::MAX.0 { None } else { Some(Self(epoch_ms)) }
    }

    /// Milliseconds since 1970.
    pub const fn epoch_ms(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970.
    pub const fn epoch_seconds(self) -> i64 {
        self.0 / 1000
    }

    /// From a civil date and time of day with an offset in seconds east of UTC.
    /// `None` when a part is out of its range.
    pub fn from_civil(
        (year, month, day): (i64, u32, u32),
        (hour, minute, second, millisecond): (u32, u32, u32, u32),
        offset_seconds: i64,
    ) -> Option<Self> {
        if !(1970..=9999).contains(&year)
            || !(1..=12).contains(&month)
            || day == 0
            || day > days_in_month(year, month)
            || hour > 23
            || minute > 59
            || second > 60
            || millisecond > 999
        {
            return None;
        }
        // A leap second is logged as :60; the epoch has no place for it.
        let second = second.min(59);
        let days = days_from_civil(year, month, day);
        let seconds =
            days * 86_400 + i64::from(hour) * 3_600 + i64::from(minute) * 60 + i64::from(second)
                - offset_seconds;
        Self::from_epoch_ms(seconds * 1_000 + i64::from(millisecond))
    }

    /// Parses the Common Log Format's `dd/MMM/yyyy:HH:mm:ss +-hhmm`.
    pub fn parse_clf(text: &[u8]) -> Option<Self> {
        if text.len() != 26
            || text[2] != b'/'
            || text[6] != b'/'
            || text[11] != b':'
            || text[14] != b':'
            || text[17] != b':'
            || text[20] != b' '
        {
            return None;
        }
        let number = |range: std::ops::Range<usize>| decimal(&text[range]);
        let sign = match text[21] {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let (offset_hours, offset_minutes) = (number(22..24)?, number(24..26)?);
        if offset_hours > 15 || offset_minutes > 59 {
            return None;
        }
        Self::from_civil(
            (i64::from(number(7..11)?), month(&text[3..6])?, number(0..2)?),
            (number(12..14)?, number(15..17)?, number(18..20)?, 0),
            sign * i64::from(offset_hours * 3_600 + offset_minutes * 60),
        )
    }

    /// Parses an epoch: milliseconds, or seconds when the number is too small to be
    /// milliseconds of this century (the HTTP API page of the API Gateway guide says
    /// only "epoch-formatted"). A fraction (`1700000000.123`) is accepted for seconds.
    pub fn parse_epoch(text: &[u8]) -> Option<Self> {
        // Almost always: milliseconds of this century.
        if let [first @ .., a, b, c, d, e] = text
            && let Ok(first) = <[u8; 8]>::try_from(first)
            && let (Some(first), Some(last)) = (eight_digits(first), decimal(&[*a, *b, *c, *d, *e]))
            && first >= 1_000_000
        {
            return Self::from_epoch_ms(i64::from(first) * 100_000 + i64::from(last));
        }
        let (whole, fraction) = match memchr::memchr(b'.', text) {
            Some(dot) => (&text[..dot], &text[dot + 1..]),
            None => (text, &b""[..]),
        };
        // Nine digits: nothing shorter is an instant of this century.
        if whole.len() < 9 || whole.len() > 15 || !fraction.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let mut value = 0_i64;
        for &byte in whole {
            if !byte.is_ascii_digit() {
                return None;
            }
            value = value * 10 + i64::from(byte - b'0');
        }
        if value >= 100_000_000_000 {
            return Self::from_epoch_ms(value);
        }
        let mut millisecond = 0;
        for place in 0..3 {
            millisecond = millisecond * 10 + fraction.get(place).map_or(0, |d| i64::from(d - b'0'));
        }
        Self::from_epoch_ms(value * 1_000 + millisecond)
    }

    /// Parses RFC 3339, `yyyy-MM-ddTHH:mm:ss[.fff][Z|+hh:mm]`; without an offset, UTC.
    pub fn parse_rfc3339(text: &[u8]) -> Option<Self> {
        if text.len() < 19
            || text[4] != b'-'
            || text[7] != b'-'
            || !matches!(text[10], b'T' | b't' | b' ')
            || text[13] != b':'
            || text[16] != b':'
        {
            return None;
        }
        let number = |range: std::ops::Range<usize>| decimal(&text[range]);
        let mut rest = &text[19..];
        let mut millisecond = 0;
        if let Some(fraction) = rest.strip_prefix(b".") {
            let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            for place in 0..3 {
                let digit = fraction[..digits].get(place).map_or(0, |digit| digit - b'0');
                millisecond = millisecond * 10 + u32::from(digit);
            }
            rest = &fraction[digits..];
        }
        let offset = match rest {
            b"" | b"Z" | b"z" => 0,
            [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2]
            | [sign @ (b'+' | b'-'), h1, h2, m1, m2] => {
                let hours = decimal(&[*h1, *h2])?;
                let minutes = decimal(&[*m1, *m2])?;
                if hours > 15 || minutes > 59 {
                    return None;
                }
                let seconds = i64::from(hours * 3_600 + minutes * 60);
                if *sign == b'-' { -seconds } else { seconds }
            }
            _ => return None,
        };
        Self::from_civil(
            (i64::from(number(0..4)?), number(5..7)?, number(8..10)?),
            (number(11..13)?, number(14..16)?, number(17..19)?, millisecond),
            offset,
        )
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        let (year, month, day) = civil_from_days(days);
        let (seconds, ms) = (ms / 1_000, ms % 1_000);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{ms:03}Z",
            seconds / 3_600,
            seconds / 60 % 60,
            seconds % 60
        )
    }
}

/// The number that eight digits write, two, four and eight of them at a time.
fn eight_digits(digits: [u8; 8]) -> Option<u32> {
    const HIGH: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    let digits = u64::from_le_bytes(digits);
    // Only digits have 3 as their upper half and keep it when 6 is added.
    let kept = digits.wrapping_add(0x0606_0606_0606_0606) & HIGH;
    if (digits & HIGH) | kept >> 4 != 0x3333_3333_3333_3333 {
        return None;
    }
    let pairs = (digits & 0x0f0f_0f0f_0f0f_0f0f).wrapping_mul(10 << 8 | 1) >> 8;
    let fours = (pairs & 0x00ff_00ff_00ff_00ff).wrapping_mul(100 << 16 | 1) >> 16;
    Some(((fours & 0x0000_ffff_0000_ffff).wrapping_mul(10_000 << 32 | 1) >> 32) as u32)
}

fn decimal(digits: &[u8]) -> Option<u32> {
    let mut value = 0;
    for &byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value * 10 + u32::from(byte - b'0');
    }
    Some(value)
}

fn month(name: &[u8]) -> Option<u32> {
    const NAMES: [&[u8]; 12] = [
        b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov",
        b"Dec",
    ];
    (1..=12).zip(NAMES).find(|(_, known)| *known == name).map(|(number, _)| number)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a proleptic Gregorian date.
///
/// Counts years from March, so that the leap day is a year's last: 146,097 days an
/// era of 400 years, and 153 days each five months.
fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = i64::from((153 * ((month + 9) % 12) + 2) / 5 + day - 1);
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(parsed: Option<Timestamp>, expected: &str) {
        assert_eq!(parsed.map(|t| t.to_string()).as_deref(), Some(expected));
    }

    #[test]
    fn clf_time_keeps_its_offset() {
        check(Timestamp::parse_clf(b"26/Jan/2019:19:45:25 +0330"), "2019-01-26T16:15:25.000Z");
        check(Timestamp::parse_clf(b"31/Dec/1999:23:59:60 -0100"), "2000-01-01T00:59:59.000Z");
    }

    #[test]
    fn impossible_clf_times_are_refused() {
        for bad in [
            "30/Feb/2024:00:00:00 +0000",
            "01/jan/2024:00:00:00 +0000",
            "01/Jan/2024:24:00:00 +0000",
            "01/Jan/2024:00:00:00  0000",
        ] {
            assert_eq!(Timestamp::parse_clf(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn epochs_are_told_apart_by_magnitude() {
        check(Timestamp::parse_epoch(b"1720635321799"), "2024-07-10T18:15:21.799Z");
        check(Timestamp::parse_epoch(b"1720635321"), "2024-07-10T18:15:21.000Z");
        check(Timestamp::parse_epoch(b"1720635321.5"), "2024-07-10T18:15:21.500Z");
        check(Timestamp::parse_epoch(b"1720635321.12"), "2024-07-10T18:15:21.120Z");
        check(Timestamp::parse_epoch(b"0001720635321"), "2024-07-10T18:15:21.000Z");
        assert_eq!(Timestamp::parse_epoch(b"12:00"), None);
        assert_eq!(Timestamp::parse_epoch(b"17206353217a9"), None);
    }

    proptest! {
        #[test]
        fn eight_digits_are_read_as_one_by_one(text in "[0-9/:.a]{8}|[0-9]{8}") {
            let digits = text.as_bytes().try_into().expect("eight bytes");
            prop_assert_eq!(eight_digits(digits), decimal(text.as_bytes()));
        }

        #[test]
        fn rfc3339_round_trips(ms in 0..=Timestamp::MAX.0) {
            let time = Timestamp(ms);
            prop_assert_eq!(Timestamp::parse_rfc3339(time.to_string().as_bytes()), Some(time));
        }

        #[test]
        fn display_agrees_with_jiff(ms in 0..=Timestamp::MAX.0) {
            let expected = jiff::Timestamp::from_millisecond(ms).expect("in jiff's range");
            prop_assert_eq!(Timestamp(ms).to_string(), format!("{expected:.3}"));
        }
    }
}

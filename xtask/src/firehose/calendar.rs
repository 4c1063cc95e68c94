//! Turns epoch milliseconds into the three spellings of time a delivery needs.
//!
//! Access logs carry CLF time or epoch milliseconds, object keys carry UTC
//! parts, and the truth carries RFC 3339. Everything here is UTC: Firehose names
//! objects in UTC and API Gateway logs `+0000`.

use std::fmt::Write as _;

/// Milliseconds since 1970-01-01T00:00:00Z.
pub(crate) type Millis = i64;

pub(crate) const SECOND: Millis = 1_000;
pub(crate) const MINUTE: Millis = 60 * SECOND;
pub(crate) const HOUR: Millis = 60 * MINUTE;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A UTC date and time of day, to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    pub(crate) month: u8,
    pub(crate) day: u8,
    pub(crate) hour: u8,
    pub(crate) minute: u8,
    pub(crate) second: u8,
}

/// The date and time of day of an instant.
///
/// Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
pub(crate) fn civil(time: Millis) -> Civil {
    let seconds = time.div_euclid(SECOND);
    let of_day = seconds.rem_euclid(86_400);
    let shifted = seconds.div_euclid(86_400) + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    Civil {
        year: year_of_era + era * 400 + i64::from(month <= 2),
        month: month as u8,
        day: (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u8,
        hour: (of_day / 3_600) as u8,
        minute: (of_day / 60 % 60) as u8,
        second: (of_day % 60) as u8,
    }
}

/// The instant of a UTC date and time of day; the inverse of [`civil`].
fn instant(at: Civil) -> Millis {
    let year = at.year - i64::from(at.month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = (i64::from(at.month) + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + i64::from(at.day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    let of_day = i64::from(at.hour) * 3_600 + i64::from(at.minute) * 60 + i64::from(at.second);
    (days * 86_400 + of_day) * SECOND
}

/// `02/Mar/2026:08:00:00 +0000`, as `$context.requestTime` and Apache print it.
pub(crate) fn clf(time: Millis) -> String {
    let at = civil(time);
    let month = MONTHS[usize::from(at.month) - 1];
    format!(
        "{:02}/{month}/{:04}:{:02}:{:02}:{:02} +0000",
        at.day, at.year, at.hour, at.minute, at.second
    )
}

/// `2026-03-02T08:00:00.000Z`.
pub(crate) fn rfc3339(time: Millis) -> String {
    let at = civil(time);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        at.year,
        at.month,
        at.day,
        at.hour,
        at.minute,
        at.second,
        time.rem_euclid(SECOND)
    )
}

/// `2026/03/02/08/`, the hour folder Firehose puts before the object's name.
pub(crate) fn hour_folder(time: Millis) -> String {
    let at = civil(time);
    format!("{:04}/{:02}/{:02}/{:02}/", at.year, at.month, at.day, at.hour)
}

/// `2026-03-02-08-00-00`, the time inside the object's name.
pub(crate) fn name_time(time: Millis) -> String {
    let at = civil(time);
    let mut text = String::with_capacity(19);
    write!(
        text,
        "{:04}-{:02}-{:02}-{:02}-{:02}-{:02}",
        at.year, at.month, at.day, at.hour, at.minute, at.second
    )
    .expect("writing to a String cannot fail");
    text
}

/// Reads `2026-03-02T08:00:00Z`; nothing else is a start time.
pub(crate) fn parse(text: &str) -> Result<Millis, String> {
    let refused = || format!("`{text}` is not a UTC time such as 2026-03-02T08:00:00Z");
    let bytes = text.as_bytes();
    let shape_fits = bytes.len() == 20
        && [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'Z')]
            .iter()
            .all(|&(at, wanted)| bytes[at] == wanted);
    if !shape_fits {
        return Err(refused());
    }
    let part = |from: usize, to: usize| text[from..to].parse::<u8>().map_err(|_| refused());
    let at = Civil {
        year: text[0..4].parse().map_err(|_| refused())?,
        month: part(5, 7)?,
        day: part(8, 10)?,
        hour: part(11, 13)?,
        minute: part(14, 16)?,
        second: part(17, 19)?,
    };
    // The round trip refuses the 31st of February without a table of month lengths.
    if !(1..=12).contains(&at.month) || civil(instant(at)) != at {
        return Err(refused());
    }
    Ok(instant(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants_have_their_dates() {
        for (time, clf_time, rfc) in [
            (0, "01/Jan/1970:00:00:00 +0000", "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "29/Feb/2000:00:00:00 +0000", "2000-02-29T00:00:00.000Z"),
            (1_720_635_321_799, "10/Jul/2024:18:15:21 +0000", "2024-07-10T18:15:21.799Z"),
        ] {
            assert_eq!(clf(time), clf_time);
            assert_eq!(rfc3339(time), rfc);
        }
    }

    #[test]
    fn every_day_of_a_leap_cycle_survives_the_round_trip() {
        for day in 0..1_500 {
            let time = 1_700_000_000_000 + day * 24 * HOUR;
            assert_eq!(instant(civil(time)), time);
        }
    }

    #[test]
    fn dates_that_do_not_exist_are_refused() {
        assert_eq!(parse("1970-01-01T00:00:10Z"), Ok(10_000));
        for text in
            ["2026-02-30T00:00:00Z", "2026-13-01T00:00:00Z", "2026-03-02", "2026-03-02T08:00:00+"]
        {
            assert!(parse(text).is_err(), "{text} was accepted");
        }
    }

    #[test]
    fn key_parts_are_utc_and_padded() {
        let time = parse("2026-03-02T08:05:09Z").expect("a valid time");
        assert_eq!(hour_folder(time), "2026/03/02/08/");
        assert_eq!(name_time(time), "2026-03-02-08-05-09");
    }
}

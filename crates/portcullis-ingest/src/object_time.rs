//! The time that an object's key tells, for formats that log none.
//!
//! Firehose names objects `<stream>-<version>-yyyy-MM-dd-HH-mm-ss-<id>`, and puts them
//! below `yyyy/MM/dd/HH/`: the arrival of the oldest record, in UTC unless the owner
//! chose another zone.
//!
//! Source: Firehose guide, "Data delivery" and "Custom prefixes" (read 2026-11).

use crate::Timestamp;

/// The time in an object's key: of the name to the second, else of the folders to
/// the hour.
pub(crate) fn of(key: &str) -> Option<Timestamp> {
    let (folders, name) = key.rsplit_once('/').unwrap_or(("", key));
    // A stream's name may hold dates too: the last one is Firehose's.
    let in_name = numbers_from_the_right(name, b'-', 6);
    if let Some([year, month, day, hour, minute, second]) = in_name {
        return Timestamp::from_civil((i64::from(year), month, day), (hour, minute, second, 0), 0);
    }
    let [year, month, day, hour, ..] = numbers_from_the_right(folders, b'/', 4)?;
    Timestamp::from_civil((i64::from(year), month, day), (hour, 0, 0, 0), 0)
}

/// The rightmost run of `count` parts that are a year of four digits and numbers of
/// two. Unused places are 0.
fn numbers_from_the_right(text: &str, separator: u8, count: usize) -> Option<[u32; 6]> {
    let parts: Vec<&str> = text.split(char::from(separator)).collect();
    parts.windows(count).rev().find_map(|window| {
        let mut numbers = [0; 6];
        for (place, part) in window.iter().enumerate() {
            let digits = if place == 0 { 4 } else { 2 };
            if part.len() != digits || !part.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            numbers[place] = part.parse().ok()?;
        }
        (numbers[1] <= 12).then_some(numbers)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key: &str, expected: Option<&str>) {
        assert_eq!(of(key).map(|t| t.to_string()).as_deref(), expected, "{key}");
    }

    #[test]
    fn keys_tell_the_time() {
        check(
            "logs/2026/01/02/03/amazon-apigateway-a-1-2026-01-02-03-04-05-6e5f2c1a-0000-4000-8000-000000000000.gz",
            Some("2026-01-02T03:04:05.000Z"),
        );
        check("a/2026/01/02/03/object", Some("2026-01-02T03:00:00.000Z"));
        check("2024-01-01-00-00-00-b-1-2026-01-02-03-04-05-x", Some("2026-01-02T03:04:05.000Z"));
        check("access.log", None);
        check("2026/13/40/99/x", None);
    }
}

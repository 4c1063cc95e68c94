//! Names operations and those who run them.
//!
//! A name is never used twice, and yet the same plan made twice has one name: that is
//! how carrying it out twice is recognised. So the name of a plan is made of what it
//! says. What a person asks for by hand is meant each time it is asked, and has the
//! process in its name.

use std::fs;

use portcullis_ingest::Timestamp;

use crate::digest::sha256;

/// Characters of a hash in a name: 48 bits, beside a time.
const HASH: usize = 12;

/// `plan-20251104T091200.123Z-1a2b3c4d5e6f`; `content` is what the operation does.
pub fn name(kind: &str, now: Timestamp, content: &str) -> String {
    let time: String = now.to_string().chars().filter(|c| !"-:".contains(*c)).collect();
    format!("{kind}-{time}-{}", &sha256(content)[..HASH])
}

/// A name for what is asked for by hand or by the clock.
pub fn name_of_this_process(kind: &str, now: Timestamp) -> String {
    name(kind, now, &format!("{} {}", who(), now))
}

/// Who runs the program, for leases and the account: `user@host (process 4711)`, or
/// what `PORTCULLIS_WHO` says.
pub fn who() -> String {
    let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let user = variable("USER").or_else(|| variable("LOGNAME"));
    let host = variable("HOSTNAME").or_else(|| {
        let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
        Some(name.trim().to_owned())
    });
    let usual = || {
        let (user, host) = (user.as_deref().unwrap_or("unknown"), host.as_deref());
        format!("{user}@{}", host.unwrap_or("unknown"))
    };
    let who = variable("PORTCULLIS_WHO").unwrap_or_else(usual);
    let plain: String = who.chars().filter(|c| !c.is_control()).take(120).collect();
    format!("{plain} (process {})", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_content_at_the_same_time_has_one_name() {
        let now = Timestamp::parse_rfc3339(b"2025-11-04T09:12:00.123Z").expect("a time");
        let one = name("plan", now, "content");
        assert_eq!(one, name("plan", now, "content"));
        assert_ne!(one, name("plan", now, "other"));
        assert!(one.starts_with("plan-20251104T091200.123Z-"), "{one}");
    }
}

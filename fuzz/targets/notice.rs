//! Messages of a queue. The module is included, because its crate brings the AWS SDK along.

#![no_main]

#[allow(dead_code, reason = "only the parser is asked")]
#[path = "../../crates/portcullis-aws/src/notice.rs"]
mod notice;

use notice::Notice;

libfuzzer_sys::fuzz_target!(|data: &str| {
    if let Ok(Notice::Objects(objects)) = Notice::parse(data) {
        for object in objects {
            assert!(!object.key.is_empty() && !object.bucket.contains(['/', '?', '#', '@']));
            assert!(object.etag.starts_with('"') && object.etag.ends_with('"'));
            assert!(object.name().starts_with("s3://"));
        }
    }
});

#![no_main]

use std::net::IpAddr;

use portcullis_ingest::parse_address;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let ours = parse_address(data);
    if let Ok(theirs) = std::str::from_utf8(data).unwrap_or("").parse::<IpAddr>() {
        assert_eq!(ours, Some(theirs.to_canonical()));
    }
    if let Some(address) = ours {
        assert_eq!(parse_address(address.to_string().as_bytes()), Some(address));
    }
});

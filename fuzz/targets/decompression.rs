#![no_main]

mod common;

// A magic number in front reaches every container quickly.
const MAGIC: [&[u8]; 7] = [
    b"",
    &[0x1f, 0x8b, 0x08],
    &[0x28, 0xb5, 0x2f, 0xfd],
    b"\xff\x06\x00\x00sNaPpY",
    b"PK\x03\x04",
    b"PAR1",
    &[0, 0, 0, 60, 0, 0, 0, 20],
];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((pick, rest)) = data.split_first() else { return };
    let object = [MAGIC[usize::from(*pick) % MAGIC.len()], rest].concat();
    common::read(&object, None, 4096);
});

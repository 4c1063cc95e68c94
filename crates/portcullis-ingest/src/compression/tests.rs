use std::io::Write as _;

use super::*;

const TEXT: &[u8] = b"one record\nand another, and another, and another\n";

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).expect("in memory");
    encoder.finish().expect("in memory")
}

fn zip_of(parts: &[&[u8]]) -> Vec<u8> {
    let mut writer = ::zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (index, part) in parts.iter().enumerate() {
        let method = [::zip::CompressionMethod::Deflated, ::zip::CompressionMethod::Stored];
        let options =
            ::zip::write::SimpleFileOptions::default().compression_method(method[index % 2]);
        writer.start_file(format!("part-{index}"), options).expect("in memory");
        writer.write_all(part).expect("in memory");
    }
    writer.finish().expect("in memory").into_inner()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest)
}

fn snappy_framed(text: &[u8]) -> Vec<u8> {
    let mut writer = snap::write::FrameEncoder::new(Vec::new());
    writer.write_all(text).expect("in memory");
    writer.into_inner().expect("in memory")
}

fn snappy_hadoop(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for block in text.chunks(30) {
        out.extend((block.len() as u32).to_be_bytes());
        for chunk in block.chunks(20) {
            let packed = snap::raw::Encoder::new().compress_vec(chunk).expect("in memory");
            out.extend((packed.len() as u32).to_be_bytes());
            out.extend(packed);
        }
    }
    out
}

fn all() -> Vec<(&'static str, Vec<u8>)> {
    let half = TEXT.len() / 2;
    vec![
        ("plain", TEXT.to_vec()),
        ("gzip", gzip(TEXT)),
        ("gzip twice", gzip(&gzip(TEXT))),
        ("gzip members", [gzip(&TEXT[..half]), gzip(&TEXT[half..])].concat()),
        ("zip", zip_of(&[&TEXT[..half], &TEXT[half..]])),
        ("zstd", zstd(TEXT)),
        ("zstd frames", [zstd(&TEXT[..half]), zstd(&TEXT[half..])].concat()),
        ("snappy framed", snappy_framed(TEXT)),
        ("snappy hadoop", snappy_hadoop(TEXT)),
        ("gzip in zip", zip_of(&[&gzip(TEXT)])),
    ]
}

fn unpack(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    text(bytes)?.0.read_to_end(&mut out)?;
    Ok(out)
}

#[test]
fn every_compression_is_recognised_and_undone() {
    for (name, bytes) in all() {
        let unpacked = unpack(&bytes).map_err(|error| format!("{name}: {error}"));
        assert_eq!(unpacked.as_deref(), Ok(TEXT), "{name}");
    }
}

#[test]
fn a_truncated_or_damaged_stream_never_passes_for_whole() {
    for (name, bytes) in all().into_iter().skip(1) {
        for length in HEAD_BYTES as usize..bytes.len() {
            if let Ok(text) = unpack(&bytes[..length]) {
                // Whole members before the cut are whole; nothing is made up.
                assert!(TEXT.starts_with(&text), "{name} cut at {length}");
                assert!(text.len() < TEXT.len(), "{name} cut at {length}");
            }
        }
        for at in HEAD_BYTES as usize..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            let _ = unpack(&damaged);
        }
    }
}

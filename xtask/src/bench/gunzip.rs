//! The floor: decompressing all objects and doing nothing with the text.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

/// What decompresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Library {
    /// C, whole buffers only: the fastest known.
    Libdeflate,
    /// Rust, streaming.
    ZlibRs,
}

/// Seconds to read and decompress every object, each on one of the threads.
pub(super) fn time(
    objects: &[PathBuf],
    threads: usize,
    library: Library,
    expected_bytes: u64,
) -> Result<f64, String> {
    let (next, total) = (AtomicUsize::new(0), AtomicU64::new(0));
    let begun = Instant::now();
    thread::scope(|scope| {
        let work = || -> Result<(), String> {
            let mut text = Vec::new();
            let mut done = 0;
            while let Some(object) = objects.get(next.fetch_add(1, Ordering::Relaxed)) {
                done += decompress(object, library, &mut text)?;
            }
            total.fetch_add(done, Ordering::Relaxed);
            Ok(())
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().expect("a worker returns its errors"))
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let found = total.into_inner();
    if found != expected_bytes {
        return Err(format!(
            "the objects hold {found} bytes of text where the manifest says {expected_bytes}; remove their directory and run again"
        ));
    }
    Ok(seconds)
}

/// Seconds that the program `libdeflate-gzip` takes, once for each object, as many of it at
/// once as there are threads; the text is discarded.
pub(super) fn time_program(objects: &[PathBuf], threads: usize) -> Result<f64, String> {
    let mut names = Vec::new();
    for object in objects {
        names.extend_from_slice(object.as_os_str().as_encoded_bytes());
        names.push(0);
    }
    let failed = |error: std::io::Error| format!("failed to run xargs: {error}");
    let begun = Instant::now();
    let mut xargs = Process::new("xargs")
        .args(["-0", "-n", "1", "-P", &threads.to_string(), "libdeflate-gzip", "-dc"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map_err(failed)?;
    xargs.stdin.take().expect("stdin is piped").write_all(&names).map_err(failed)?;
    let status = xargs.wait().map_err(failed)?;
    let seconds = begun.elapsed().as_secs_f64();
    if status.success() { Ok(seconds) } else { Err(format!("libdeflate-gzip: {status}")) }
}

/// Reads one object and returns the bytes of its text.
fn decompress(object: &Path, library: Library, text: &mut Vec<u8>) -> Result<u64, String> {
    let failed = |error: &dyn std::fmt::Display| {
        format!("failed to decompress {}: {error}", object.display())
    };
    let packed = fs::read(object).map_err(|error| failed(&error))?;
    match library {
        Library::Libdeflate => {
            // Gzip ends with the size of its text, modulo 2^32; objects here are smaller.
            let size = packed
                .last_chunk::<4>()
                .map(|bytes| u32::from_le_bytes(*bytes) as usize)
                .ok_or_else(|| failed(&"too short for gzip"))?;
            if text.len() < size {
                text.resize(size, 0);
            }
            let size = libdeflater::Decompressor::new()
                .gzip_decompress(&packed, text)
                .map_err(|error| failed(&error))?;
            Ok(size as u64)
        }
        Library::ZlibRs => {
            text.clear();
            let size = flate2::bufread::MultiGzDecoder::new(&packed[..])
                .read_to_end(text)
                .map_err(|error| failed(&error))?;
            Ok(size as u64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_libraries_read_the_same_text() {
        let directory =
            std::env::temp_dir().join(format!("portcullis-xtask-gunzip-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a writable directory");
        let objects: Vec<PathBuf> = (0..5_usize)
            .map(|number| {
                let file = directory.join(number.to_string());
                let mut encoder =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(&vec![b'x'; 1_000 * (number + 1)]).expect("memory");
                fs::write(&file, encoder.finish().expect("memory")).expect("writable");
                file
            })
            .collect();
        for library in [Library::Libdeflate, Library::ZlibRs] {
            time(&objects, 2, library, 15_000).expect("valid gzip");
            let message = time(&objects, 2, library, 14_999).expect_err("one byte too many");
            assert!(message.contains("15000"), "{message}");
        }
        fs::remove_dir_all(&directory).expect("the test's own directory");
    }
}

//! Values of options, as they are written.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use ipnet::IpNet;
use portcullis_setup::Mode;

/// Shape of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// For people.
    Human,
    /// One document.
    Json,
}

/// Parses `NAME=FILE`.
pub(super) fn named_file(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => {
            Ok((name.to_owned(), file.into()))
        }
        _ => Err("expected a name and a file, as NAME=FILE".to_owned()),
    }
}

/// Parses the name of what is kept, and so is not `-`, which means stdout.
pub(super) fn not_stdout(text: &str) -> Result<PathBuf, String> {
    match text {
        "-" => Err("it cannot be stdout; `./-` names one that is called so".to_owned()),
        _ => Ok(text.into()),
    }
}

/// Parses a number of things of which there is one at least.
pub(super) fn at_least_one(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "expected a whole number, 1 or more".to_owned())
}

/// Parses a network, or an address as the network of its own.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| "expected an address or a network such as 10.0.0.0/8".to_owned())
}

/// A mode by the name that the configuration file gives it.
pub(super) fn mode() -> impl TypedValueParser<Value = Mode> {
    PossibleValuesParser::new(Mode::ALL.map(Mode::name)).map(|name| {
        let named = Mode::ALL.into_iter().find(|mode| mode.name() == name);
        named.expect("only names of modes are possible")
    })
}

/// Parses `512M`.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.strip_suffix(['K', 'M', 'G', 'T']) {
        Some(digits) => (digits, 10 * (1 + "KMGT".find(&text[digits.len()..]).unwrap_or(0))),
        None => (text, 0),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .filter(|number| *number > 0)
        .ok_or_else(|| "expected a number of bytes such as 1048576, 512M or 16G".to_owned())
}

/// The least memory that a run may be given: reading one object takes about as much, and a
/// smaller number is most likely one whose unit was forgotten.
const LEAST_MEMORY: u64 = 16 << 20;

/// Parses the memory that a run may take.
pub(super) fn memory(text: &str) -> Result<u64, String> {
    match bytes(text)? {
        few if few < LEAST_MEMORY => Err("expected 16M or more, such as 512M".to_owned()),
        enough => Ok(enough),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_things_is_one_at_least() {
        assert_eq!(at_least_one("7"), Ok(NonZeroUsize::new(7).expect("7 is not 0")));
        for wrong in ["", "0", "-1", "1.5", "many"] {
            assert!(at_least_one(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn byte_limits_have_units() {
        assert_eq!(bytes("1"), Ok(1));
        assert_eq!(bytes("3K"), Ok(3 << 10));
        assert_eq!(bytes("16G"), Ok(16 << 30));
        for wrong in ["", "0", "-1", "G", "1X", "99999999T"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
        assert_eq!(memory("16M"), Ok(16 << 20));
        for wrong in ["", "512", "15M"] {
            assert!(memory(wrong).is_err(), "{wrong}");
        }
    }
}

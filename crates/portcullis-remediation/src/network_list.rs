//! Reads lists of networks that people keep: one address or network a line, perhaps with
//! words behind it, and comments.
//!
//! Such a list is somebody's promise about every line of it, so it is read whole or not at
//! all, and every wrong line is told at once with its place. What the lists mean is decided
//! by whoever reads them.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;

use crate::input::{InputError, Places};
use crate::prefix::{PrefixError, parse_address_or_network};

/// What can be wrong in a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkListErrorKind {
    /// Not an address or network that can be compared.
    #[error(transparent)]
    Prefix(#[from] PrefixError),
    /// The words would do something to a terminal.
    #[error("the note holds a control character; write plain text")]
    Note,
    /// A name is wanted behind the network.
    #[error("`{0}` has no name; write `{0},build server`")]
    NoName(String),
    /// It holds every address there is.
    #[error("`{0}` is every address; write the networks that are meant")]
    Everything(IpNet),
}

/// One thing that is wrong in a list, and where.
pub type NetworkListError = InputError<NetworkListErrorKind>;

/// A network and the words beside it.
pub(crate) type Entry = (IpNet, Option<Arc<str>>);

/// Networks with the words beside them; the first of two equal networks keeps its words.
pub(crate) type Entries = BTreeMap<IpNet, Option<Arc<str>>>;

/// How the lines of a list are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `NETWORK`, then, if wanted, white space and a note.
    Notes,
    /// `NETWORK,NAME`.
    Names,
    /// `NETWORK`; whatever stands behind it, or behind `;`, is passed over.
    Bare,
}

/// The entries of a list. `#` begins a comment. `file` is the name that errors carry.
pub(crate) fn parse(
    file: &str,
    text: &str,
    shape: Shape,
) -> Result<Entries, Vec<NetworkListError>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut places = Places::new(text);
    let mut entries = Entries::new();
    let mut errors = Vec::new();
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        match parse_line(line, shape) {
            Ok(None) => {}
            Ok(Some((network, words))) => {
                entries.entry(network).or_insert(words);
            }
            Err((offset, kind)) => {
                let (line, column) = places.of(line_start + offset);
                errors.push(InputError { file: file.to_owned(), line, column, kind });
            }
        }
        line_start += line.len();
    }
    if errors.is_empty() { Ok(entries) } else { Err(errors) }
}

/// The network and words of one line, or where in the line it went wrong.
fn parse_line(line: &str, shape: Shape) -> Result<Option<Entry>, (usize, NetworkListErrorKind)> {
    let comment: &[char] = if shape == Shape::Bare { &['#', ';'] } else { &['#'] };
    let content = line.split(comment).next().unwrap_or_default();
    let start = content.len() - content.trim_start().len();
    let content = content.trim();
    if content.is_empty() {
        return Ok(None);
    }
    let (entry, words) = match shape {
        Shape::Notes | Shape::Bare => {
            content.split_once(char::is_whitespace).unwrap_or((content, ""))
        }
        Shape::Names => content.split_once(',').unwrap_or((content, "")),
    };
    let (entry, words) = (entry.trim_end(), words.trim());
    let network = parse_address_or_network(entry).map_err(|kind| (start, kind.into()))?;
    if shape != Shape::Notes && network.prefix_len() == 0 {
        return Err((start, NetworkListErrorKind::Everything(network)));
    }
    match shape {
        Shape::Bare => return Ok(Some((network, None))),
        Shape::Names if words.is_empty() => {
            return Err((start, NetworkListErrorKind::NoName(entry.to_owned())));
        }
        Shape::Names | Shape::Notes => {}
    }
    let is_control = |character: char| character.is_control() && character != '\t';
    if let Some(control) = words.find(is_control) {
        let words_start = content.len() - words.len();
        return Err((start + words_start + control, NetworkListErrorKind::Note));
    }
    Ok(Some((network, (!words.is_empty()).then(|| words.into()))))
}

/// Networks with a value each, ready for one binary search per question.
///
/// Two networks are either apart or one holds the other. Only the widest are kept,
/// since whatever overlaps a network inside a wider one overlaps the wider one too;
/// those that remain are apart, so their ends rise with their starts.
#[derive(Debug, Clone)]
pub(crate) struct Ranges<Value> {
    /// Sorted; IPv4 before IPv6, no two overlap.
    widest: Vec<(IpNet, Value)>,
}

impl<Value> Ranges<Value> {
    /// `networks` must be canonical. Their order, by address and then by length, puts
    /// each directly after the network that holds it.
    pub(crate) fn new(networks: BTreeMap<IpNet, Value>) -> Self {
        let mut widest: Vec<(IpNet, Value)> = Vec::with_capacity(networks.len());
        for (network, value) in networks {
            if !widest.last().is_some_and(|(wider, _)| wider.contains(&network)) {
                widest.push((network, value));
            }
        }
        Self { widest }
    }

    /// The last network that begins before `network` ends overlaps it, or none does.
    pub(crate) fn overlapping(&self, network: IpNet) -> Option<(IpNet, &Value)> {
        let (first, last) = (network.network(), network.broadcast());
        let after = self.widest.partition_point(|(entry, _)| entry.network() <= last);
        let (entry, value) = &self.widest[after.checked_sub(1)?];
        // An IPv4 end is below any IPv6 start, as the order of `IpAddr` has it.
        (entry.broadcast() >= first).then_some((*entry, value))
    }
}

/// Networks that somebody speaks ill of, one address or network a line. `#` and `;` begin a
/// comment, and what stands behind a network is passed over, as published lists have it.
#[derive(Debug, Clone)]
pub struct ReputationList(Ranges<()>);

impl ReputationList {
    /// Reads a list; `file` is the name that errors carry.
    ///
    /// # Errors
    /// Every line that is wrong.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<NetworkListError>> {
        let entries = parse(file, text, Shape::Bare)?;
        Ok(Self(Ranges::new(entries.into_keys().map(|network| (network, ())).collect())))
    }

    /// Whether it names the source or part of it: of an IPv6 /64, any address.
    pub fn names(&self, source: IpNet) -> bool {
        self.0.overlapping(source).is_some()
    }
}

/// Networks of the operator with their names: `198.51.100.7,build server`.
#[derive(Debug, Clone, Default)]
pub struct Assets(pub(crate) Entries);

impl Assets {
    /// Reads a list and adds it; `file` is the name that errors carry.
    ///
    /// # Errors
    /// Every line that is wrong; nothing is added then.
    pub fn add(&mut self, file: &str, text: &str) -> Result<(), Vec<NetworkListError>> {
        for (network, name) in parse(file, text, Shape::Names)? {
            self.0.entry(network).or_insert(name);
        }
        Ok(())
    }

    /// Takes in another list; of a network that both have, this one's name stays.
    pub fn merge(&mut self, other: &Self) {
        for (network, name) in &other.0 {
            self.0.entry(*network).or_insert_with(|| name.clone());
        }
    }

    /// The name of the narrowest network that overlaps the source.
    pub fn name(&self, source: IpNet) -> Option<&Arc<str>> {
        let around = crate::prefix::around(source).rev().find_map(|network| self.0.get(&network));
        let last = IpNet::new(source.broadcast(), source.max_prefix_len()).ok()?;
        let inside = || self.0.range(source..=last).next().map(|(_, name)| name);
        around.or_else(inside)?.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::network;

    #[test]
    fn lists_are_read_as_they_are_published() {
        let text = "\u{feff}# comment\n; comment too\n192.0.2.0/25 ; SBL1\n198.51.100.7\tseen\r\n\n\
                    2001:db8:7::1\n";
        let list = ReputationList::parse("drop.txt", text).expect("a list");
        for (source, expected) in [
            ("192.0.2.9/32", true),
            ("192.0.2.129/32", false),
            ("198.51.100.7/32", true),
            ("198.51.100.8/32", false),
            ("2001:db8:7::/64", true),
            ("2001:db8:7:1::/64", false),
        ] {
            assert_eq!(list.names(network(source)), expected, "{source}");
        }
    }

    #[test]
    fn assets_have_names_and_the_narrowest_is_told() {
        let mut assets = Assets::default();
        let text = "198.51.100.0/24, head office\n198.51.100.7,build server # ci\n\
                    2001:db8:9::5/128,monitor";
        assets.add("assets.csv", text).expect("a list");
        for (source, expected) in [
            ("198.51.100.7/32", Some("build server")),
            ("198.51.100.8/32", Some("head office")),
            ("198.51.101.8/32", None),
            ("2001:db8:9::/64", Some("monitor")),
            ("2001:db8:9:1::/64", None),
        ] {
            assert_eq!(assets.name(network(source)).map(|name| &**name), expected, "{source}");
        }
    }

    #[test]
    fn every_wrong_line_is_told_with_its_place() {
        let told = |errors: Vec<NetworkListError>| -> Vec<String> {
            errors.iter().map(ToString::to_string).collect()
        };
        let errors = ReputationList::parse("l", "198.51.100.9/24\n::/0\n192.0.2.1\nx y");
        assert_eq!(
            told(errors.expect_err("wrong")),
            [
                "l:1:1: `198.51.100.9/24` has host bits set; write `198.51.100.0/24` for the \
                 network or `198.51.100.9/32` for the one address",
                "l:2:1: `::/0` is every address; write the networks that are meant",
                "l:4:1: `x` is not an address or network; write `198.51.100.7/32` or \
                 `2001:db8::/64`",
            ]
        );
        let errors = Assets::default().add("a", "192.0.2.1\n 192.0.2.2,a\u{1b}b\n");
        assert_eq!(
            told(errors.expect_err("wrong")),
            [
                "a:1:1: `192.0.2.1` has no name; write `192.0.2.1,build server`",
                "a:2:13: the note holds a control character; write plain text",
            ]
        );
    }
}

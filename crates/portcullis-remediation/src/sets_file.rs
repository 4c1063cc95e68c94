//! Reads and writes the current value of IP sets as JSON.
//!
//! A plan starts from what the sets hold now. That value comes as our own file, or
//! as what `aws wafv2 get-ip-set` prints, one document or several after each other
//! (`cat v4.json v6.json`). A set that is read only in part would be written back in
//! part, and AWS replaces the whole: so every entry is read or the file is refused,
//! with each unusable entry and its place.
//!
//! ```json
//! {"schema_version": 1,
//!  "sets": [{"name": "portcullis-v4", "family": "ipv4", "addresses": ["198.18.0.1/32"]}]}
//! ```

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::input::{InputError, Places, without_place};
use crate::ipset::{EntryError, Family, IpSet, SetError, Sets};
use crate::prefix::{PrefixError, parse_network};

/// Version of the file's shape.
const SCHEMA_VERSION: u32 = 1;

/// What can be wrong in a file of sets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetsErrorKind {
    /// Not JSON, or a value of the wrong type.
    #[error("{0}")]
    Json(String),
    /// JSON, and neither of the shapes.
    #[error(
        "no IP set here; expected {{\"schema_version\":1,\"sets\":[…]}} or the output of `aws wafv2 get-ip-set`"
    )]
    NoSets,
    /// A version of the file that this program does not know.
    #[error("schema_version is {0}, and this program reads {SCHEMA_VERSION}")]
    SchemaVersion(String),
    /// Not one of the two families.
    #[error("`{}` is not a family; write `ipv4` or `ipv6`", .0.escape_debug())]
    Family(String),
    /// A set that WAF would not accept.
    #[error(transparent)]
    Set(#[from] SetError),
    /// An entry that is not a network.
    #[error("set `{set}`, entry {entry}: {kind}")]
    Prefix {
        /// The set's name.
        set: String,
        /// The entry's place among the set's addresses, counted from 1.
        entry: usize,
        /// What is wrong with it.
        kind: PrefixError,
    },
    /// An entry that this set cannot hold.
    #[error("set `{set}`, entry {entry}: {kind}")]
    Entry {
        /// The set's name.
        set: String,
        /// The entry's place among the set's addresses, counted from 1.
        entry: usize,
        /// What is wrong with it.
        kind: EntryError,
    },
}

/// One thing that is wrong in a file of sets, and where.
pub type SetsError = InputError<SetsErrorKind>;

impl Sets {
    /// Reads sets from `text`; `file` is the name that errors carry.
    ///
    /// Fails with everything that is wrong, in order of place.
    pub fn from_json(file: &str, text: &str) -> Result<Self, Vec<SetsError>> {
        let mut reader = Reader { text, sets: Vec::new(), problems: Vec::new() };
        let documents = serde_json::Deserializer::from_str(text).into_iter::<Document<'_>>();
        for document in documents {
            match document {
                Ok(document) => reader.document(document),
                Err(error) => {
                    let (line, column) = (error.line() as u32, error.column() as u32);
                    let mut errors = reader.located(file);
                    let kind = SetsErrorKind::Json(without_place(&error));
                    errors.push(InputError { file: file.to_owned(), line, column, kind });
                    return Err(errors);
                }
            }
        }
        if reader.sets.is_empty() && reader.problems.is_empty() {
            reader.problems.push((0, SetsErrorKind::NoSets));
        }
        if !reader.problems.is_empty() {
            return Err(reader.located(file));
        }
        let kind = match Self::new(reader.sets) {
            Ok(sets) => return Ok(sets),
            Err(error) => SetsErrorKind::Set(error),
        };
        Err(vec![InputError { file: file.to_owned(), line: 1, column: 1, kind }])
    }

    /// Writes the sets in our own shape: sorted, one address a line, so that two
    /// versions can be compared with `diff`. [`Sets::from_json`] reads it back.
    pub fn to_json(&self) -> String {
        let document = WrittenDocument {
            schema_version: SCHEMA_VERSION,
            sets: self
                .iter()
                .map(|set| WrittenSet {
                    name: set.name(),
                    family: set.family(),
                    description: set.description(),
                    lock_token: set.lock_token(),
                    addresses: set.addresses().iter().map(ToString::to_string).collect(),
                })
                .collect(),
        };
        let mut text =
            serde_json::to_string_pretty(&document).expect("strings and numbers always serialise");
        text.push('\n');
        text
    }
}

/// Either shape; which one it is shows in the fields that are there.
#[derive(Deserialize)]
struct Document<'text> {
    #[serde(borrow)]
    schema_version: Option<&'text RawValue>,
    #[serde(borrow)]
    sets: Option<Vec<LocalSet<'text>>>,
    #[serde(borrow, rename = "IPSet")]
    ip_set: Option<AwsSet<'text>>,
    #[serde(rename = "LockToken")]
    lock_token: Option<String>,
}

/// A set in our own file. Unknown fields are refused: they are slips of the pen.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LocalSet<'text> {
    #[serde(borrow)]
    name: &'text RawValue,
    #[serde(borrow)]
    family: &'text RawValue,
    #[serde(borrow)]
    addresses: Vec<&'text RawValue>,
    description: Option<String>,
    lock_token: Option<String>,
}

/// A set as the WAF API shows it. Unknown fields are AWS's business.
///
/// Source: AWS WAF API, `GetIPSet`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AwsSet<'text> {
    #[serde(borrow)]
    name: &'text RawValue,
    #[serde(borrow, rename = "IPAddressVersion")]
    family: &'text RawValue,
    #[serde(borrow)]
    addresses: Vec<&'text RawValue>,
    description: Option<String>,
}

/// Raw values keep where they stood, which parsed strings do not.
struct Reader<'text> {
    text: &'text str,
    sets: Vec<IpSet>,
    /// Byte offset and problem. The offsets rise: sets are read in order, and of one set
    /// either its name, or its family, or some of its addresses are reported.
    problems: Vec<(usize, SetsErrorKind)>,
}

impl<'text> Reader<'text> {
    fn document(&mut self, document: Document<'text>) {
        if let Some(raw) = document.schema_version
            && raw.get() != SCHEMA_VERSION.to_string()
        {
            let kind = SetsErrorKind::SchemaVersion(raw.get().to_owned());
            self.problems.push((self.offset(raw), kind));
            return;
        }
        for set in document.sets.into_iter().flatten() {
            self.set(set);
        }
        if let Some(AwsSet { name, family, addresses, description }) = document.ip_set {
            let lock_token = document.lock_token;
            self.set(LocalSet { name, family, addresses, description, lock_token });
        }
    }

    fn set(&mut self, set: LocalSet<'text>) {
        let (name_place, family_place) = (self.offset(set.name), self.offset(set.family));
        let Some(name) = self.string(set.name) else {
            return;
        };
        let Some(family_name) = self.string(set.family) else {
            return;
        };
        let Some(family) = Family::from_name(&family_name) else {
            self.problems.push((family_place, SetsErrorKind::Family(family_name)));
            return;
        };
        let described = IpSet::new(&name, family).and_then(|empty| {
            empty.with_description(set.description.as_deref().unwrap_or_default())
        });
        let mut read = match described {
            Ok(empty) => empty.with_lock_token(set.lock_token),
            Err(error) => return self.problems.push((name_place, error.into())),
        };
        for (index, raw) in set.addresses.into_iter().enumerate() {
            let Some(text) = self.string(raw) else {
                continue;
            };
            let (set, entry) = (name.clone(), index + 1);
            let problem = match parse_network(&text).map(|network| read.insert(network)) {
                Ok(Ok(_)) => continue,
                Ok(Err(kind)) => SetsErrorKind::Entry { set, entry, kind },
                Err(kind) => SetsErrorKind::Prefix { set, entry, kind },
            };
            let no_room =
                matches!(problem, SetsErrorKind::Entry { kind: EntryError::Full { .. }, .. });
            self.problems.push((self.offset(raw), problem));
            if no_room {
                break;
            }
        }
        self.sets.push(read);
    }

    /// The string in `raw`; anything else is a problem.
    fn string(&mut self, raw: &RawValue) -> Option<String> {
        match serde_json::from_str(raw.get()) {
            Ok(string) => Some(string),
            Err(error) => {
                let kind = SetsErrorKind::Json(without_place(&error));
                self.problems.push((self.offset(raw), kind));
                None
            }
        }
    }

    /// Where `raw`, which borrows from the text, begins in it.
    fn offset(&self, raw: &RawValue) -> usize {
        raw.get().as_ptr().addr() - self.text.as_ptr().addr()
    }

    fn located(self, file: &str) -> Vec<SetsError> {
        let mut places = Places::new(self.text);
        self.problems
            .into_iter()
            .map(|(offset, kind)| {
                let (line, column) = places.of(offset);
                InputError { file: file.to_owned(), line, column, kind }
            })
            .collect()
    }
}

#[derive(Serialize)]
struct WrittenDocument<'sets> {
    schema_version: u32,
    sets: Vec<WrittenSet<'sets>>,
}

#[derive(Serialize)]
struct WrittenSet<'set> {
    name: &'set str,
    family: Family,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'set str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lock_token: Option<&'set str>,
    addresses: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipset::MAX_ADDRESSES;
    use proptest::prelude::*;

    /// Each set as `name family addresses`, or each error as it is shown.
    fn read(text: &str) -> Vec<String> {
        match Sets::from_json("sets.json", text) {
            Ok(sets) => sets
                .iter()
                .map(|set| {
                    let addresses: Vec<_> =
                        set.addresses().iter().map(ToString::to_string).collect();
                    format!("{} {} {}", set.name(), set.family(), addresses.join(" "))
                })
                .collect(),
            Err(errors) => errors.iter().map(ToString::to_string).collect(),
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(read(text), expected, "{text}");
    }

    #[test]
    fn both_shapes_are_read() {
        check(
            r#"{"schema_version":1,"sets":[
                {"name":"b","family":"ipv6","addresses":["2001:DB8::/64"]},
                {"name":"a","family":"ipv4","addresses":["198.18.0.9/32","198.18.0.1\/32"]}]}"#,
            &["a IPv4 198.18.0.1/32 198.18.0.9/32", "b IPv6 2001:db8::/64"],
        );
        let aws = r#"{"IPSet":{"Name":"edge","Id":"8d1c9f3e-0000-4000-8000-000000000001",
            "ARN":"arn:aws:wafv2:eu-west-1:111122223333:regional/ipset/edge/8d1c9f3e",
            "Description":"","IPAddressVersion":"IPV4","Addresses":["203.0.113.0/24"]},
            "LockToken":"8d1c9f3e-0000-4000-8000-000000000002"}"#;
        check(aws, &["edge IPv4 203.0.113.0/24"]);
        let sets = Sets::from_json("sets.json", aws).expect("the output of the AWS CLI");
        let edge = sets.get("edge").expect("the one set");
        assert_eq!(edge.lock_token(), Some("8d1c9f3e-0000-4000-8000-000000000002"));
        assert_eq!(edge.description(), None);
    }

    #[test]
    fn documents_may_follow_each_other() {
        let one = r#"{"IPSet":{"Name":"a","IPAddressVersion":"IPV4","Addresses":[]}}"#;
        let two =
            r#"{"IPSet":{"Name":"b","IPAddressVersion":"IPV6","Addresses":["2001:db8::/64"]}}"#;
        check(&format!("{one}\n{two}\n"), &["a IPv4 ", "b IPv6 2001:db8::/64"]);
        check(&format!("{one}{one}"), &["sets.json:1:1: set `a` is there twice"]);
    }

    #[test]
    fn every_unusable_entry_is_named_with_its_place() {
        check(
            "{\"schema_version\":1,\"sets\":[{\"name\":\"a\",\"family\":\"ipv4\",\"addresses\":[\n\
             \"198.18.0.1/32\",\n  \"198.18.0.1/24\",\n  \"2001:db8::/64\", \"hello\",\n\
             \"0.0.0.0/0\", \"198.18.0.1\", 7]}]}",
            &[
                "sets.json:3:3: set `a`, entry 2: `198.18.0.1/24` has host bits set; write \
                 `198.18.0.0/24` for the network or `198.18.0.1/32` for the one address",
                "sets.json:4:3: set `a`, entry 3: `2001:db8::/64` is IPv6 and set `a` holds IPv4",
                "sets.json:4:20: set `a`, entry 4: `hello` is not an address or network; write \
                 `198.51.100.7/32` or `2001:db8::/64`",
                "sets.json:5:1: set `a`, entry 5: `0.0.0.0/0` is every address, and AWS WAF \
                 accepts no `/0`",
                "sets.json:5:14: set `a`, entry 6: `198.18.0.1` has no prefix length; write \
                 `198.18.0.1/32` for the one address",
                "sets.json:5:28: invalid type: integer `7`, expected a string",
            ],
        );
    }

    #[test]
    fn what_is_no_file_of_sets_is_refused() {
        let no_sets = "sets.json:1:1: no IP set here; expected {\"schema_version\":1,\"sets\":[…]} \
                       or the output of `aws wafv2 get-ip-set`";
        check("", &[no_sets]);
        check("{}", &[no_sets]);
        check(r#"{"schema_version":1,"sets":[]}"#, &[no_sets]);
        check("\n{", &["sets.json:2:1: EOF while parsing an object"]);
        check(
            r#"{"schema_version":2,"sets":[]}"#,
            &["sets.json:1:19: schema_version is 2, and this program reads 1"],
        );
        check(
            "{\"sets\":[{\"name\":\"a\",\"family\":\"ipv4\",\"addresses\":[\n\"::/64\"]}]}\n\
             {\"schema_version\":\"1\",\"sets\":[]}\n",
            &[
                "sets.json:2:1: set `a`, entry 1: `::/64` is IPv6 and set `a` holds IPv4",
                "sets.json:3:19: schema_version is \"1\", and this program reads 1",
            ],
        );
        check(
            r#"{"sets":[{"name":"a b","family":"ipv4","addresses":[]}]}"#,
            &["sets.json:1:18: `a b` is not a name for an IP set: use 1 to 128 letters, digits, \
               `_` and `-`"],
        );
        check(
            r#"{"sets":[{"name":"a","family":"v4","addresses":[]}]}"#,
            &["sets.json:1:31: `v4` is not a family; write `ipv4` or `ipv6`"],
        );
        check(
            r#"{"sets":[{"name":"a","family":"ipv4","adresses":[]}]}"#,
            &["sets.json:1:47: unknown field `adresses`, expected one of `name`, `family`, \
               `addresses`, `description`, `lock_token`"],
        );
    }

    #[test]
    fn one_entry_too_many_is_said_once() {
        let entries: Vec<_> = (0..MAX_ADDRESSES + 5)
            .map(|number| format!("\"198.18.{}.{}/32\"", number / 256, number % 256))
            .collect();
        let text = format!(
            r#"{{"sets":[{{"name":"a","family":"ipv4","addresses":[{}]}}]}}"#,
            entries.join(",")
        );
        let errors = read(&text);
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(
            errors[0].ends_with(
                "entry 10001: set `a` would hold more than 10000 entries, the most that AWS WAF \
                 accepts; `198.18.39.16/32` is one too many"
            ),
            "{errors:?}"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            v4 in proptest::collection::vec((any::<u32>(), 1_u8..=32), 0..50),
            v6 in proptest::collection::vec((any::<u128>(), 1_u8..=128), 0..50),
            described: bool,
            token in proptest::option::of("[a-f0-9-]{1,36}"),
        ) {
            let mut four = IpSet::new("four", Family::V4).expect("a valid name").with_lock_token(token);
            if described {
                four = four.with_description("kept as it was").expect("a valid description");
            }
            for (bits, length) in v4 {
                let network = ipnet::Ipv4Net::new(bits.into(), length).expect("at most 32");
                four.insert(network.trunc().into()).expect("canonical IPv4");
            }
            let mut six = IpSet::new("six", Family::V6).expect("a valid name");
            for (bits, length) in v6 {
                let network = ipnet::Ipv6Net::new(bits.into(), length).expect("at most 128");
                six.insert(network.trunc().into()).expect("canonical IPv6");
            }
            let sets = Sets::new(vec![six, four]).expect("two names");
            let read = Sets::from_json("sets.json", &sets.to_json());
            prop_assert_eq!(read.as_ref(), Ok(&sets));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "[\\[\\]{}\",:a-zA-Z0-9/. \\n]{0,200}") {
            if let Err(errors) = Sets::from_json("sets.json", &text) {
                prop_assert!(!errors.is_empty());
            }
        }
    }
}

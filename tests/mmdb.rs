//! Databases of countries and networks, written as the MMDB format has them.

use std::collections::BTreeMap;

use ipnet::IpNet;

/// A value of a record or of the metadata.
pub enum Field<'f> {
    Text(&'f str),
    Number(u32),
    /// A number in as few bytes as it needs, which some makers write.
    Short(u16),
    Map(Vec<(&'f str, Field<'f>)>),
    Texts(&'f [&'f str]),
}

const TEXT: u8 = 2;
const UINT16: u8 = 5;
const UINT32: u8 = 6;
const MAP: u8 = 7;
const UINT64: u8 = 9;
const ARRAY: u8 = 11;

/// Type and size of a value: eight types fit into a byte, the others need a second one.
fn control(out: &mut Vec<u8>, kind: u8, size: usize) {
    let (size, more) = match size {
        0..29 => (size as u8, None),
        _ => (29, Some(u8::try_from(size - 29).expect("values of tests are short"))),
    };
    match kind {
        0..=7 => out.push(kind << 5 | size),
        _ => out.extend([size, kind - 7]),
    }
    out.extend(more);
}

fn encode(out: &mut Vec<u8>, field: &Field<'_>) {
    match field {
        Field::Text(text) => {
            control(out, TEXT, text.len());
            out.extend(text.as_bytes());
        }
        Field::Number(number) => {
            control(out, UINT32, 4);
            out.extend(number.to_be_bytes());
        }
        Field::Short(number) => {
            control(out, UINT16, 2);
            out.extend(number.to_be_bytes());
        }
        Field::Map(fields) => {
            control(out, MAP, fields.len());
            for (name, value) in fields {
                encode(out, &Field::Text(name));
                encode(out, value);
            }
        }
        Field::Texts(texts) => {
            control(out, ARRAY, texts.len());
            for text in *texts {
                encode(out, &Field::Text(text));
            }
        }
    }
}

/// A node of the tree: what lies behind a bit of 0 and of 1.
#[derive(Clone, Copy)]
enum Behind {
    Nothing,
    Node(usize),
    /// An offset in the data.
    Data(usize),
}

/// A database of that type with a record for each of some networks, which are apart.
pub fn database(kind: &str, records: &[(&str, Field<'_>)]) -> Vec<u8> {
    let mut data = Vec::new();
    let mut nodes = vec![[Behind::Nothing; 2]];
    for (network, record) in records {
        let network: IpNet = network.parse().expect("a network");
        // IPv4 is the first /96 of IPv6.
        let (bits, length) = match network {
            IpNet::V4(v4) => (u128::from(u32::from(v4.addr())), 96 + usize::from(v4.prefix_len())),
            IpNet::V6(v6) => (u128::from(v6.addr()), usize::from(v6.prefix_len())),
        };
        let bit = |depth: usize| usize::from(bits >> (127 - depth) & 1 == 1);
        let mut node = 0;
        for depth in 0..length - 1 {
            let next = if let Behind::Node(next) = nodes[node][bit(depth)] {
                next
            } else {
                nodes.push([Behind::Nothing; 2]);
                nodes.len() - 1
            };
            nodes[node][bit(depth)] = Behind::Node(next);
            node = next;
        }
        nodes[node][bit(length - 1)] = Behind::Data(data.len());
        encode(&mut data, record);
    }
    let mut out = Vec::new();
    for behind in nodes.iter().flatten() {
        let number = match behind {
            Behind::Nothing => nodes.len(),
            Behind::Node(node) => *node,
            Behind::Data(offset) => nodes.len() + 16 + offset,
        };
        out.extend(&(number as u32).to_be_bytes()[1..]);
    }
    out.extend([0; 16]);
    out.extend(data);
    out.extend(b"\xab\xcd\xefMaxMind.com");
    metadata(&mut out, kind, nodes.len() as u32);
    out
}

fn metadata(out: &mut Vec<u8>, kind: &str, nodes: u32) {
    let numbers: BTreeMap<&str, u16> = [
        ("binary_format_major_version", 2),
        ("binary_format_minor_version", 0),
        ("ip_version", 6),
        ("record_size", 24),
    ]
    .into();
    control(out, MAP, numbers.len() + 5);
    for (name, number) in numbers {
        encode(out, &Field::Text(name));
        control(out, UINT16, 2);
        out.extend(number.to_be_bytes());
    }
    encode(out, &Field::Text("build_epoch"));
    control(out, UINT64, 8);
    out.extend(1_762_243_200_u64.to_be_bytes());
    for (name, value) in [
        ("node_count", Field::Number(nodes)),
        ("database_type", Field::Text(kind)),
        ("languages", Field::Texts(&["en"])),
        ("description", Field::Map(vec![("en", Field::Text("made for a test"))])),
    ] {
        encode(out, &Field::Text(name));
        encode(out, &value);
    }
}

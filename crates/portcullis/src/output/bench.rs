//! What rules cost, as a table and as JSON.

use std::cmp::Reverse;
use std::io::{self, Write};

use portcullis_detection::{Census, Rule, RuleSet, Work};
use portcullis_ingest::Untrusted;

use crate::output::counted;
use crate::output::json::{Object, Secrets};
use crate::output::table::{Align, Cell, Table};
use crate::progress::{human_bytes, human_count};
use crate::terminal::Terminal;

/// Version of the JSON document.
const SCHEMA_VERSION: u64 = 1;

/// What was measured.
pub struct Measured {
    /// Requests looked at.
    pub requests: u64,
    /// What each rule's confirmations cost.
    pub census: Census,
    /// For each rate rule, by index, the requests that it counts.
    pub counted: Vec<u64>,
}

impl Measured {
    fn read_bytes(&self) -> u64 {
        self.census.rules.iter().map(|work| work.bytes).sum()
    }

    /// Every rule with its work and counted requests; the most costly first, then by id.
    fn by_cost<'m>(&'m self, rules: &'m RuleSet) -> Vec<(&'m Rule, &'m Work, u64)> {
        let works = self.census.rules.iter().zip(&self.counted);
        let mut list: Vec<_> = rules
            .rules()
            .iter()
            .zip(works)
            .map(|(rule, (work, counted))| (rule, work, *counted))
            .collect();
        list.sort_by_key(|(_, work, counted)| Reverse((work.bytes, work.candidates, *counted)));
        list
    }
}

/// The literal that began most confirmations; of several, the first.
fn busiest(work: &Work) -> Option<(&[u8], u64)> {
    let most = work.literals.iter().filter(|(literal, _)| !literal.is_empty());
    let (literal, count) = most.max_by_key(|(literal, count)| (**count, Reverse(*literal)))?;
    Some((literal, *count))
}

/// Writes the rules that cost most.
pub fn write_table(
    out: &mut impl Write,
    rules: &RuleSet,
    measured: &Measured,
    top: usize,
    terminal: &Terminal,
) -> io::Result<()> {
    let searched = measured.census.searched_bytes;
    let read = measured.read_bytes();
    writeln!(
        out,
        "{}: {} searched once for all rules, {} of it ({}) read again to confirm\n",
        counted(measured.requests, "request", "requests"),
        human_bytes(searched),
        human_bytes(read),
        percent(read, searched),
    )?;
    let mut table = Table::new([
        ("RULE", Align::Left),
        ("CANDIDATES", Align::Right),
        ("CONFIRMED", Align::Right),
        ("READ", Align::Right),
        ("SHARE", Align::Right),
        ("HITS", Align::Right),
        ("HITS/MB", Align::Right),
        ("BUSIEST LITERAL", Align::Left),
    ]);
    let list = measured.by_cost(rules);
    let costly = list.iter().filter(|(_, work, counted)| work.candidates + counted > 0);
    let total = costly.clone().count();
    for (rule, work, counted) in costly.take(top) {
        let literal = busiest(work).map_or(String::new(), |(literal, count)| {
            format!("`{}` ({})", Untrusted::new(literal).escaped(), human_count(count))
        });
        table.row(vec![
            Cell::plain(rule.id()),
            Cell::plain(human_count(work.candidates + counted)),
            Cell::plain(human_count(work.confirmations)),
            Cell::plain(human_bytes(work.bytes)),
            Cell::plain(percent(work.bytes, read)),
            Cell::plain(human_count(work.hits)),
            Cell::plain(per_megabyte(work.hits, searched)),
            Cell::plain(literal),
        ]);
    }
    table.write(out, terminal.width, terminal.colour)?;
    if total > top {
        writeln!(out, "and {} more; --top {total} shows all", total - top)?;
    }
    let idle = list.len() - total;
    if idle > 0 {
        writeln!(out, "{} never came near anything", counted(idle as u64, "rule", "rules"))?;
    }
    Ok(())
}

/// Writes one document and a line feed; the rules in the order of their cost.
pub fn write_json(out: &mut Vec<u8>, rules: &RuleSet, measured: &Measured) {
    let mut document = Object::open(out, Secrets::Hidden);
    document.number("schema_version", SCHEMA_VERSION);
    document.number("requests", measured.requests);
    document.number("searched_bytes", measured.census.searched_bytes);
    document.number("read_bytes", measured.read_bytes());
    document.objects("rules", measured.by_cost(rules), |object, (rule, work, counted)| {
        object.text("rule", rule.id());
        object.text("kind", rule.kind().name());
        object.number("candidates", work.candidates + counted);
        object.number("confirmations", work.confirmations);
        object.number("read_bytes", work.bytes);
        object.number("hits", work.hits);
        object.objects("literals", &work.literals, |object, (literal, count)| {
            object.untrusted("literal", Some(Untrusted::new(literal)));
            object.number("confirmations", *count);
        });
    });
    document.close();
    out.push(b'\n');
}

/// A share with one decimal; `-` of nothing.
fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let tenths = (u128::from(part) * 1_000 + u128::from(whole) / 2) / u128::from(whole);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// A rate for a million bytes with one decimal.
fn per_megabyte(count: u64, bytes: u64) -> String {
    if bytes == 0 {
        return "-".to_owned();
    }
    let tenths = u128::from(count) * 10_000_000 / u128::from(bytes);
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_and_of_nothing_there_is_none() {
        assert_eq!(percent(1, 3), "33.3 %");
        assert_eq!(percent(2, 3), "66.7 %");
        assert_eq!(percent(0, 0), "-");
        assert_eq!(per_megabyte(25, 10_000_000), "2.5");
    }
}

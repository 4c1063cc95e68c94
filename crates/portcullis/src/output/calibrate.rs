//! What honest clients did by the rate rules, as a table and as JSON.

use std::io::{self, Write};

use portcullis_detection::{Budget, Calibration, Measured};

use crate::output::findings::coverage;
use crate::output::json::{Object, Secrets};
use crate::output::table::{Align, Cell, Table};
use crate::output::{counted, write_not_seen};
use crate::progress::human_count;
use crate::terminal::{BAD, HEADING, Painted, Terminal};

/// Version of the JSON document.
const SCHEMA_VERSION: u64 = 1;

/// Quantiles that are shown: name, part, of.
const QUANTILES: [(&str, u64, u64); 4] =
    [("p50", 50, 100), ("p90", 90, 100), ("p99", 99, 100), ("p99_9", 999, 1_000)];

/// Writes the quantiles, and the thresholds as lines for rule files.
pub fn write_table(
    out: &mut impl Write,
    calibration: &Calibration,
    budget: Budget,
    terminal: &Terminal,
) -> io::Result<()> {
    let honest = calibration.honest;
    writeln!(
        out,
        "{}, {} of them honest as far as signatures tell; a rule may name {}\n",
        counted(calibration.clients, "client", "clients"),
        human_count(honest),
        counted(budget.clients(honest), "honest client", "honest clients"),
    )?;
    let mut table = Table::new([
        ("RULE", Align::Left),
        ("COUNTED", Align::Right),
        ("P50", Align::Right),
        ("P90", Align::Right),
        ("P99", Align::Right),
        ("P99.9", Align::Right),
        ("MAX", Align::Right),
        ("THRESHOLD", Align::Right),
        ("NAMES", Align::Right),
        ("WITHIN BUDGET", Align::Right),
        ("UNIT", Align::Left),
    ]);
    for measured in &calibration.rules {
        let named = measured.named_at(measured.threshold);
        let too_many = named > budget.clients(honest);
        let style = if too_many { BAD } else { anstyle::Style::new() };
        let mut row = vec![
            Cell::plain(&*measured.rule),
            Cell::plain(human_count(measured.peaks.len() as u64)),
        ];
        row.extend(
            QUANTILES.map(|(_, part, of)| Cell::plain(human_count(measured.quantile(part, of)))),
        );
        let keeps = measured.keeps(budget, honest).filter(|_| honest > 0);
        row.extend([
            Cell::plain(human_count(measured.highest())),
            Cell::plain(human_count(measured.threshold)),
            Cell::styled(human_count(named), style),
            Cell::plain(keeps.map_or("none".to_owned(), human_count)),
            Cell::plain(unit(measured)),
        ]);
        table.row(row);
    }
    table.write(out, terminal.width, terminal.colour)?;
    let heading = "For the rule files, where the threshold names too many";
    let heading = Painted { text: heading, style: HEADING, colour: terminal.colour };
    writeln!(out, "\n{heading}")?;
    let mut is_any = false;
    for measured in &calibration.rules {
        if let Some(line) = line(measured, budget, honest) {
            is_any = true;
            writeln!(out, "  {line}")?;
        }
    }
    if !is_any {
        writeln!(out, "  no threshold does")?;
    }
    write_not_seen(out, &calibration.coverage, terminal)
}

/// Writes one document and a line feed.
pub fn write_json(out: &mut Vec<u8>, calibration: &Calibration, budget: Budget) {
    let honest = calibration.honest;
    let mut document = Object::open(out, Secrets::Hidden);
    document.number("schema_version", SCHEMA_VERSION);
    document.object("coverage", |object| coverage(object, &calibration.coverage, None));
    document.number("clients", calibration.clients);
    document.number("honest_clients", honest);
    document.number("may_be_named", budget.clients(honest));
    document.objects("rules", &calibration.rules, |object, measured| {
        object.text("rule", &measured.rule);
        object.text("measure", measured.measure.name());
        object.number("window_seconds", measured.window_seconds);
        object.number("counted_clients", measured.peaks.len() as u64);
        object.object("peak", |object| {
            for (name, part, of) in QUANTILES {
                object.number(name, measured.quantile(part, of));
            }
            object.number("max", measured.highest());
        });
        object.number("threshold", measured.threshold);
        object.number("named_clients", measured.named_at(measured.threshold));
        if let Some(threshold) = measured.keeps(budget, honest).filter(|_| honest > 0) {
            object.number("threshold_within_budget", threshold);
        }
        if let Some(line) = line(measured, budget, honest) {
            object.text("toml", &line);
        }
    });
    document.close();
    out.push(b'\n');
}

/// The line for a rule's file, where its threshold names too many.
fn line(measured: &Measured, budget: Budget, honest: u64) -> Option<String> {
    let keeps = measured.keeps(budget, honest)?;
    let counted = counted(measured.named_at(measured.threshold), "client", "clients");
    (keeps > measured.threshold).then(|| {
        format!(
            "threshold = {keeps}  # {}, was {} and named {counted} of {honest}",
            measured.rule, measured.threshold
        )
    })
}

/// What the peaks are counted in.
fn unit(measured: &Measured) -> String {
    format!("{} in {} s", measured.measure.unit().trim_start(), measured.window_seconds)
}

//! Traffic over time, with the attacks in it: stacked bars for all, and below them, on the
//! same axis, when each of the worst offenders was there.

use portcullis_detection::{Axis, Counts};
use portcullis_ingest::Timestamp;

use super::Report;
use crate::chart::{HEIGHT, STEPS, heat, round_up, stacked};
use crate::words::{count, length, minute, source};

/// Offenders with a lane of their own.
const LANES: usize = 10;
/// Times written under the chart, evenly spaced.
const TICKS: i64 = 5;

pub(super) struct Traffic {
    pub(super) cells: usize,
    pub(super) height: u32,
    pub(super) flagged: String,
    pub(super) offenders: String,
    pub(super) others: String,
    pub(super) highest: String,
    pub(super) half: String,
    pub(super) ticks: Vec<String>,
    pub(super) cell: String,
    pub(super) lanes: Vec<Lane>,
    pub(super) more_lanes: usize,
    pub(super) rows: Vec<Row>,
}

pub(super) struct Lane {
    pub(super) source: String,
    pub(super) steps: [String; STEPS],
    pub(super) label: String,
}

pub(super) struct Row {
    pub(super) begin: String,
    pub(super) numbers: [String; 4],
}

impl Traffic {
    pub(super) fn new(report: &Report<'_>, axis: &Axis) -> Self {
        let all = report.overview.traffic.on(axis);
        let offenders = &report.findings.offenders;
        let mut of_offenders = vec![Counts::default(); axis.cells()];
        let mut lanes = Vec::new();
        for offender in offenders {
            let Some(story) = report.overview.stories.get(&offender.source) else { continue };
            let cells = story.timeline.on(axis);
            for (sum, counts) in of_offenders.iter_mut().zip(&cells) {
                sum.requests = sum.requests.saturating_add(counts.requests);
                sum.flagged = sum.flagged.saturating_add(counts.flagged);
            }
            if lanes.len() < LANES {
                let requests: Vec<u64> = cells.iter().map(|c| c.requests.into()).collect();
                let highest = requests.iter().copied().max().unwrap_or(0);
                let active = requests.iter().filter(|requests| **requests > 0).count();
                lanes.push(Lane {
                    source: source(offender.source),
                    steps: heat(&requests, highest),
                    label: format!(
                        "{} requests in {active} of {} periods",
                        count(offender.requests),
                        axis.cells()
                    ),
                });
            }
        }
        let layers: Vec<[u64; 3]> = (all.iter().zip(&of_offenders))
            .map(|(all, theirs)| {
                let flagged = u64::from(theirs.flagged);
                let rest = u64::from(theirs.requests).saturating_sub(flagged);
                [u64::from(all.requests).saturating_sub(flagged + rest), rest, flagged]
            })
            .collect();
        let highest = layers.iter().map(|layers| layers.iter().sum()).max().unwrap_or(0);
        let scale = round_up(highest);
        let rows = (layers.iter().enumerate())
            .filter_map(|(cell, [others, rest, flagged])| {
                let numbers = [others + rest + flagged, *others, *rest, *flagged].map(count);
                Some(Row { begin: minute(axis.begin(cell)?), numbers })
            })
            .collect();
        let [others, rest, flagged] = stacked(&layers, scale);
        Self {
            cells: axis.cells(),
            height: HEIGHT,
            flagged,
            offenders: rest,
            others,
            highest: count(scale),
            half: count(scale / 2),
            ticks: ticks(axis),
            cell: length(axis.cell_seconds()),
            more_lanes: offenders.len().saturating_sub(lanes.len()),
            lanes,
            rows,
        }
    }
}

/// Times at even distances from the beginning to the end of the axis.
pub(crate) fn ticks(axis: &Axis) -> Vec<String> {
    let (Some(begin), Some(end)) = (axis.begin(0), axis.begin(axis.cells())) else {
        return Vec::new();
    };
    let span = end.epoch_ms() - begin.epoch_ms();
    let is_long = span > 2 * 24 * 3_600_000;
    let tick = |number: i64| {
        let part = span / (TICKS - 1) * number;
        let text = minute(Timestamp::from_epoch_ms(begin.epoch_ms() + part)?);
        // `2026-03-02 09:15`: within two days the time is what differs, else the day.
        Some(if is_long { text[5..10].to_owned() } else { text[11..].to_owned() })
    };
    (0..TICKS).filter_map(tick).collect()
}

//! Measures what text made to waste time costs beside honest text.
//!
//! Whoever is watched chooses what the detector reads, so its worst case is an attack on
//! it. The measuring is a benchmark of the detection crate, which can see inside; each
//! hostile text is timed side by side with honest queries, round by round, and the
//! medians of the ratios are printed. Nothing here asserts a time, unless a limit is
//! asked for.

use std::process::{Command as Process, Stdio};

use crate::workspace;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Measure only texts whose name holds this
    #[arg(value_name = "TEXT")]
    only: Option<String>,
    /// Make so many texts of what rules look for, and print those above twice honest text
    #[arg(long, value_name = "TEXTS", conflicts_with = "only")]
    search: Option<u64>,
    /// What the texts are made from
    #[arg(long, default_value_t = 1, requires = "search")]
    seed: u64,
    /// Fail when any text costs more than this many times honest text
    #[arg(long, value_name = "RATIO")]
    limit: Option<f64>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), String> {
    let mut bench = Process::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    bench
        .current_dir(workspace::root())
        .args(["bench", "--quiet", "--package", "portcullis-detection", "--bench", "cost", "--"])
        .args(&arguments.only)
        .stderr(Stdio::inherit());
    if let Some(texts) = arguments.search {
        bench.args(["--search".to_owned(), texts.to_string(), arguments.seed.to_string()]);
    }
    let output = bench.output().map_err(|error| format!("failed to start cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("the benchmark ended with {}", output.status));
    }
    let table = String::from_utf8_lossy(&output.stdout);
    print!("{table}");
    let Some(limit) = arguments.limit else { return Ok(()) };
    match worst(&table) {
        Some(ratio) if ratio <= limit => Ok(()),
        Some(ratio) => {
            Err(format!("the worst text costs {ratio} times honest text, limit {limit}"))
        }
        None => Err("the benchmark named no worst text".to_owned()),
    }
}

/// The ratio in the last line, `worst: random ASCII, 3.10 × honest`.
fn worst(table: &str) -> Option<f64> {
    let line = table.lines().find_map(|line| line.strip_prefix("worst: "))?;
    line.rsplit_once(", ")?.1.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_ratio_is_read_from_its_line() {
        let table = "text  query\nletters  1.0\nworst: random ASCII, 3.10 × honest\n";
        assert_eq!(worst(table).map(f64::to_bits), Some(3.1_f64.to_bits()));
        assert_eq!(worst("text  query\n"), None);
    }
}

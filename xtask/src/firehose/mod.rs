//! Generates what Amazon Data Firehose would have delivered for a simulated API.
//!
//! The API is a small booking shop. Honest clients of many kinds and a handful of
//! named attackers use it; their requests are logged in any format and delivered
//! as objects. The same arguments give the same bytes. Beside the objects stands
//! the truth: who attacked, from where, and through which fields it shows.
//!
//! Layout below the output directory: `objects/` holds nothing but objects, so
//! that it can be scanned as it is; `truth.json` and `MANIFEST.json` stand beside it.

pub(crate) mod actor;
mod attackers;
pub(crate) mod calendar;
pub(crate) mod call;
pub(crate) mod delivery;
pub(crate) mod dice;
pub(crate) mod format;
mod machines;
mod network;
pub(crate) mod population;
mod simulation;
mod truth;
mod visitors;
mod waf;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use calendar::{HOUR, Millis, SECOND};
use delivery::{Compression, Delivery, Stream};
use format::Format;
use population::Plan;

use crate::workspace;

pub(crate) use delivery::Object;
pub(crate) use network::BLOCKS;
pub(crate) use truth::Truth;

/// Every named format of access logs, `combined` included.
#[cfg(test)]
pub(crate) fn format_names() -> impl Iterator<Item = &'static str> {
    format::PRESETS.iter().map(|preset| preset.name).chain([format::COMBINED])
}

/// What to simulate and how to deliver it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Same seed, same bytes
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// A preset's name, `combined`, `aws-waf`, a $context template, or @FILE holding a template
    #[arg(long, default_value = "recommended")]
    pub(crate) format: String,
    /// Simulated time
    #[arg(long, value_name = "HOURS", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) hours: u32,
    /// First moment of the simulation, UTC
    #[arg(long, default_value = "2026-03-02T07:30:00Z", value_parser = calendar::parse)]
    pub(crate) start: Millis,
    /// Multiplies the honest clients
    #[arg(long, default_value = "1", value_parser = permille)]
    pub(crate) scale: u64,
    /// Use one of 16 disjoint blocks of addresses instead of the whole range
    #[arg(long, value_parser = clap::value_parser!(u32).range(..i64::from(BLOCKS)))]
    pub(crate) block: Option<u32>,
    /// Leave the attackers out
    #[arg(long)]
    pub(crate) no_attackers: bool,
    /// Repeat the simulated hours until this much text was delivered
    #[arg(long, value_name = "BYTES")]
    pub(crate) target_bytes: Option<u64>,
    /// What follows each record, instead of a newline in the template; `literal` is a backslash and an n, as typed into the console
    #[arg(long, value_enum, default_value = "newline")]
    pub(crate) separator: Separator,
    /// Store an object at the latest when this much text is buffered
    #[arg(long, value_name = "MB", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=128))]
    pub(crate) buffer_mb: u32,
    /// Store an object at the latest when its oldest record is this old
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(..=900))]
    pub(crate) buffer_seconds: u32,
    /// Name of the delivery stream [default: amazon-apigateway-tidebook, of AWS WAF's logs
    /// aws-waf-logs-tidebook]
    #[arg(long)]
    pub(crate) stream: Option<String>,
    /// Prefix of the object keys
    #[arg(long, default_value = "")]
    pub(crate) prefix: String,
    #[command(flatten)]
    pub(crate) storage: Storage,
    /// Records delivered twice, in a million
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u64).range(..=1_000_000))]
    pub(crate) duplicates: u64,
    /// Records delivered up to 2.5 hours late, in a million
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u64).range(..=1_000_000))]
    pub(crate) late: u64,
}

impl Options {
    /// Either service delivers only to streams whose names begin like these.
    fn stream(&self) -> &str {
        let usual = match self.format.as_str() {
            format::AWS_WAF => "aws-waf-logs-tidebook",
            _ => "amazon-apigateway-tidebook",
        };
        self.stream.as_deref().unwrap_or(usual)
    }
}

/// How objects are stored.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Storage {
    /// Compress objects (the default)
    #[arg(long, overrides_with = "plain")]
    gzip: bool,
    /// Store objects uncompressed
    #[arg(long, overrides_with = "gzip", conflicts_with = "multi_member")]
    plain: bool,
    /// Compress objects as several gzip members
    #[arg(long)]
    multi_member: bool,
}

impl Storage {
    fn compression(&self) -> Compression {
        match (self.plain, self.multi_member) {
            (true, _) => Compression::None,
            (false, true) => Compression::GzipMembers,
            (false, false) => Compression::Gzip,
        }
    }
}

/// What follows each record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Separator {
    Newline,
    Crlf,
    None,
    Literal,
}

impl Separator {
    fn bytes(self) -> &'static [u8] {
        match self {
            Self::Newline => b"\n",
            Self::Crlf => b"\r\n",
            Self::None => b"",
            Self::Literal => b"\\n",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Newline => "newline",
            Self::Crlf => "crlf",
            Self::None => "none",
            Self::Literal => "literal",
        }
    }
}

/// Reads a factor such as `2.5` as thousandths.
fn permille(text: &str) -> Result<u64, String> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{fraction:0<3}");
    let all_digits =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !all_digits(&digits) || digits.len() > 3 || whole.len() > 6 {
        return Err("give a factor such as 0.5, 1 or 20, with at most three decimals".to_owned());
    }
    format!("{whole}{digits}").parse().map_err(|_| "the factor is too large".to_owned())
}

/// What `MANIFEST.json` holds: how to make the objects again, and what they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    /// The generator and its version.
    pub(crate) generator: String,
    /// The command that writes the same bytes.
    pub(crate) command: String,
    pub(crate) seed: u64,
    /// Name of the format, or `template`.
    pub(crate) format: String,
    /// The `$context` template; absent for `combined` and `aws-waf`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) template: Option<String>,
    pub(crate) separator: String,
    pub(crate) records: u64,
    /// Bytes of all objects as stored.
    pub(crate) bytes: u64,
    /// Bytes of text in all objects.
    pub(crate) text_bytes: u64,
    pub(crate) objects: Vec<Object>,
}

/// Simulates and delivers into `directory`, which holds nothing but objects afterwards.
pub(crate) fn generate(options: &Options, directory: &Path) -> Result<(Manifest, Truth), String> {
    let mut source = match options.format.strip_prefix('@') {
        None => options.format.clone(),
        Some(file) => fs::read_to_string(file)
            .map_err(|error| format!("failed to read template {file}: {error}"))?,
    };
    // The separator is an option of its own, so a newline that ends the template is not meant twice.
    source.truncate(source.trim_end_matches(['\r', '\n']).len());
    let mut format = Format::new(&source)?;
    let plan = Plan {
        seed: options.seed,
        start: options.start,
        end: options.start + Millis::from(options.hours) * HOUR,
        scale_permille: options.scale,
        block: options.block,
        with_attackers: !options.no_attackers,
        shift: 0,
    };
    let stream = Stream {
        name: options.stream().to_owned(),
        prefix: options.prefix.clone(),
        separator: options.separator.bytes(),
        buffer_bytes: options.buffer_mb as usize * 1024 * 1024,
        buffer_age: Millis::from(options.buffer_seconds) * SECOND,
        compression: options.storage.compression(),
        duplicates_per_million: options.duplicates,
        late_per_million: options.late,
    };
    let delivery = Delivery::new(directory, stream, options.seed);
    let run = simulation::run(&plan, options.target_bytes, &mut format, delivery)?;
    let preset = format::PRESETS.iter().find(|preset| preset.name == source);
    let template = match preset {
        Some(preset) => Some(preset.template.to_owned()),
        None if [format::COMBINED, format::AWS_WAF].contains(&source.as_str()) => None,
        None => Some(source.clone()),
    };
    let named = preset.is_some() || template.is_none();
    let objects = run.delivered.objects;
    let manifest = Manifest {
        schema_version: 1,
        generator: format!("xtask firehose {}", env!("CARGO_PKG_VERSION")),
        command: command(options),
        seed: options.seed,
        format: if named { source } else { "template".to_owned() },
        template,
        separator: options.separator.name().to_owned(),
        records: objects.iter().map(|object| object.records).sum(),
        bytes: objects.iter().map(|object| object.bytes).sum(),
        text_bytes: objects.iter().map(|object| object.text_bytes).sum(),
        objects,
    };
    Ok((manifest, run.witness.testify(run.delivered.duplicates, run.delivered.late)))
}

/// The command line that gives these options, whatever the defaults become.
pub(crate) fn command(options: &Options) -> String {
    let mut command = format!(
        "cargo xtask firehose --seed {} --format {} --hours {} --start {} --scale {}.{:03}",
        options.seed,
        shell_quoted(&options.format),
        options.hours,
        calendar::rfc3339(options.start).replace(".000Z", "Z"),
        options.scale / 1_000,
        options.scale % 1_000,
    );
    let mut add = |text: String| {
        command.push(' ');
        command.push_str(&text);
    };
    if let Some(block) = options.block {
        add(format!("--block {block}"));
    }
    if options.no_attackers {
        add("--no-attackers".to_owned());
    }
    if let Some(bytes) = options.target_bytes {
        add(format!("--target-bytes {bytes}"));
    }
    add(format!("--separator {}", options.separator.name()));
    add(format!("--buffer-mb {} --buffer-seconds {}", options.buffer_mb, options.buffer_seconds));
    add(format!("--stream {}", shell_quoted(options.stream())));
    if !options.prefix.is_empty() {
        add(format!("--prefix {}", shell_quoted(&options.prefix)));
    }
    match options.storage.compression() {
        Compression::None => add("--plain".to_owned()),
        Compression::Gzip => {}
        Compression::GzipMembers => add("--multi-member".to_owned()),
    }
    add(format!("--duplicates {} --late {} --out DIR", options.duplicates, options.late));
    command
}

/// Changes when the options or the generator change: the same fingerprint, the same bytes.
pub(crate) fn fingerprint(options: &Options) -> Result<String, String> {
    let mut recipe = command(options).into_bytes();
    let generator = workspace::root().join("xtask/src/firehose");
    for file in workspace::files_below(&generator)? {
        let source = fs::read(&file)
            .map_err(|error| format!("failed to read {}: {error}", file.display()))?;
        recipe.extend_from_slice(&source);
    }
    Ok(delivery::sha256(&recipe))
}

fn shell_quoted(text: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_.@/".contains(character);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Writes a value as readable JSON with a final newline.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), String> {
    let mut text = serde_json::to_string_pretty(value).expect("plain structs always serialise");
    text.push('\n');
    fs::write(path, text).map_err(|error| format!("failed to write {}: {error}", path.display()))
}

/// `cargo xtask firehose`.
#[derive(Debug, clap::Args)]
pub(crate) struct Command {
    /// Directory for objects/, truth.json and MANIFEST.json; it must not hold objects yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    options: Options,
}

/// Runs `cargo xtask firehose`.
pub(crate) fn run(command: &Command) -> Result<(), String> {
    let objects = command.out.join("objects");
    if objects.exists() {
        return Err(format!(
            "{} exists already; remove it or choose another --out, so that old and new objects do not mix",
            objects.display()
        ));
    }
    let (manifest, truth) = generate(&command.options, &objects)?;
    write_json(&command.out.join("truth.json"), &truth)?;
    write_json(&command.out.join("MANIFEST.json"), &manifest)?;
    println!(
        "{}: {} records in {} objects, {} bytes of text, {} bytes stored, {} attackers",
        command.out.display(),
        manifest.records,
        manifest.objects.len(),
        manifest.text_bytes,
        manifest.bytes,
        truth.attackers.len(),
    );
    Ok(())
}

#[cfg(test)]
mod tests;

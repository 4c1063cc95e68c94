//! Findings about rules, as JSON and as SARIF.
//!
//! Source: Static Analysis Results Interchange Format (SARIF) Version 2.1.0, OASIS
//! Standard, sections 3.19 (`toolComponent`), 3.27 (`result`) and 3.30 (`region`).

use portcullis_detection::lint::{Check, Finding, Level, Report};

use crate::output::json::{Object, Secrets};

/// Version of the JSON document.
const SCHEMA_VERSION: u64 = 1;

/// Where the schema of SARIF 2.1.0 is published.
const SARIF_SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// Writes one document and a line feed.
pub fn write_json(out: &mut Vec<u8>, report: &Report) {
    let mut document = Object::open(out, Secrets::Hidden);
    document.number("schema_version", SCHEMA_VERSION);
    document.number("rules", report.rules as u64);
    for (name, level) in
        [("errors", Level::Error), ("warnings", Level::Warning), ("notes", Level::Note)]
    {
        document.number(name, report.count(level) as u64);
    }
    document.objects("findings", &report.findings, |object, finding| {
        object.text("check", finding.check.name());
        object.text("level", finding.level.name());
        if let Some(rule) = &finding.rule {
            object.text("rule", rule);
        }
        object.text("file", &finding.file);
        object.number("line", finding.line);
        object.number("column", finding.column);
        object.number("width", finding.width);
        object.text("source_line", &finding.source_line);
        object.text("message", &finding.message);
        object.text("fix", &finding.fix);
    });
    document.close();
    out.push(b'\n');
}

/// Writes one SARIF log and a line feed.
pub fn write_sarif(out: &mut Vec<u8>, report: &Report) {
    let mut log = Object::open(out, Secrets::Hidden);
    log.text("$schema", SARIF_SCHEMA);
    log.text("version", "2.1.0");
    log.objects("runs", [report], |run, report| {
        run.object("tool", |tool| {
            tool.object("driver", |driver| {
                driver.text("name", "portcullis");
                driver.text("version", env!("CARGO_PKG_VERSION"));
                driver.objects("rules", Check::ALL, |rule, check| {
                    rule.text("id", check.name());
                    rule.object("shortDescription", |text| text.text("text", check.about()));
                    rule.object("defaultConfiguration", |configuration| {
                        configuration.text("level", check.level().name());
                    });
                });
            });
        });
        // Columns count characters, not bytes and not UTF-16.
        run.text("columnKind", "unicodeCodePoints");
        run.objects("results", &report.findings, write_result);
    });
    log.close();
    out.push(b'\n');
}

fn write_result(result: &mut Object<'_>, finding: &Finding) {
    let index = Check::ALL.iter().position(|check| *check == finding.check);
    result.text("ruleId", finding.check.name());
    result.number("ruleIndex", index.unwrap_or_default() as u64);
    result.text("level", finding.level.name());
    result.object("message", |message| {
        let fix = if finding.fix.is_empty() { "" } else { ". Fix: " };
        message.text("text", &format!("{}{fix}{}", finding.message, finding.fix));
    });
    result.objects("locations", [finding], |location, finding| {
        location.object("physicalLocation", |place| {
            place.object("artifactLocation", |file| file.text("uri", &uri(&finding.file)));
            place.object("region", |region| {
                region.number("startLine", finding.line);
                region.number("startColumn", finding.column);
                region.number("endColumn", finding.column + finding.width);
                region.object("snippet", |text| text.text("text", &finding.source_line));
            });
        });
    });
}

/// A path as a relative or absolute URI reference.
fn uri(path: &str) -> String {
    let mut uri = String::new();
    for byte in path.replace('\\', "/").bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            use std::fmt::Write as _;
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_uri_reference() {
        assert_eq!(uri("rules/a b/ü.toml"), "rules/a%20b/%C3%BC.toml");
        assert_eq!(uri(r"rules\sqli\x.toml"), "rules/sqli/x.toml");
    }
}

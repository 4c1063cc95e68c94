//! What `init --scope CLOUDFRONT` writes, run over the log that CloudFront delivers.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::setup::Built;
use crate::support::gzip;

const NAME: &str = "portcullis-prod-v4";

/// Two clients, as the distribution saw them: what stands before it is in no line.
fn log() -> Vec<u8> {
    let mut text = "#Version: 1.0\n#Fields: date time x-edge-location sc-bytes c-ip cs-method \
                    cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent) cs-uri-query \
                    cs(Cookie) x-edge-result-type x-edge-request-id\n"
        .to_owned();
    for n in 0..20 {
        for (client, path, status) in [
            ("203.0.113.9", "/prod/files/..%252f..%252f..%252fetc%252fpasswd", 404),
            ("198.51.100.7", "/prod/pets", 200),
        ] {
            let seconds = n % 60;
            let _ = writeln!(
                text,
                "2025-11-04\t09:12:{seconds:02}\tDUB2-C1\t512\t{client}\tGET\t\
                 d111111abcdef8.cloudfront.net\t{path}\t{status}\t-\tcurl/8.5.0\t-\t-\tMiss\t\
                 {client}-{n}"
            );
        }
    }
    gzip(text.as_bytes())
}

#[test]
fn a_run_reads_cloudfronts_log_and_needs_of_each_role_what_it_allows() {
    let built = Built::silent("enforce", &["--scope=CLOUDFRONT", "--distribution=E1A2B3C4D5E6F7"]);
    let fake = &built.world.fake;
    // AWS puts the first three folders before those that were asked for, which are left out:
    // `run` would pass over a date that is older than its lookback.
    let key = "AWSLogs/111122223333/CloudFront/E1A2B3C4D5E6F7/E1A2B3C4D5E6F7.0a1b2c3d.gz";
    fake.put_object(&built.logs(), key, &log());
    let [read, apply] = ["ReadRole", "ApplyRole"].map(|id| built.role(id).to_owned());
    fake.take_permissions();
    let ran = built.run(&built.container("ScanTask")).expect_code(0);
    let summary = ran.json();
    assert_eq!(summary["analysis"]["requests"], 40, "{summary}");
    let set = fake.ip_set("us-east-1", "CLOUDFRONT", NAME).expect("it is there");
    assert_eq!(set.addresses, ["203.0.113.9/32"]);
    let needed = fake.take_permissions_by_caller();
    let [reading, allowed] = built.check("ReadRole", &needed[&read]);
    let unused: BTreeSet<_> = allowed.difference(&reading).map(String::as_str).collect();
    assert_eq!(unused, ["wafv2:GetIPSet"].into());
    built.check("ApplyRole", &needed[&apply]);

    let expired = built.run(&built.container("ExpireTask")).expect_code(0);
    assert!(expired.text().contains("carried out on prod ("), "{}", expired.text());
    built.check("ExpireRole", &fake.take_permissions());
}

//! Checks what `portcullis init` writes with the linters of those who read it.
//!
//! cfn-lint holds the template against AWS's own schema, checkov its policies against known
//! mistakes, hadolint the recipes of the images. Terraform itself is not needed: the HCL is parsed by a parser
//! that is not ours and held against a table of the resource types that are used, with the
//! arguments they require and take; see `tests/setup/check_terraform.py`.

use std::fs;
use std::process::Command as Process;

use crate::process::{debug_program, finish, python};
use crate::workspace;

/// Checks of checkov that judge policies. Its others ask for keys of one's own, a year of
/// logs and the like, which cost money and are the operator's to choose.
const POLICY_CHECKS: &str = "CKV_AWS_1,CKV_AWS_40,CKV_AWS_49,CKV_AWS_60,CKV_AWS_61,CKV_AWS_62,\
     CKV_AWS_63,CKV_AWS_70,CKV_AWS_93,CKV_AWS_107,CKV_AWS_108,CKV_AWS_109,CKV_AWS_110,CKV_AWS_111,\
     CKV_AWS_286,CKV_AWS_287,CKV_AWS_288,CKV_AWS_289,CKV_AWS_290,CKV_AWS_355,CKV2_AWS_40";

/// Setups that between them write everything there is to write.
const SETUPS: [&[&str]; 10] = [
    &["--mode=observe"],
    &["--mode=canary", "--web-acl=existing", "--leave-stage"],
    &["--mode=enforce", "--alarm-email=oncall@example.com"],
    &["--mode=enforce", "--watch"],
    &["--mode=observe", "--schedule=lambda", "--alarm-email=oncall@example.com"],
    &["--mode=enforce", "--schedule=lambda", "--watch", "--every=5"],
    &["--mode=enforce", "--scope=CLOUDFRONT", DISTRIBUTION, "--watch"],
    &[
        "--mode=canary",
        "--scope=CLOUDFRONT",
        DISTRIBUTION,
        "--web-acl=existing",
        "--schedule=lambda",
    ],
    &["--watch", "--schedule=host", "--trust=arn:aws:iam::111122223333:role/scanner"],
    &["--mode=suggest", "--schedule=host", "--trust=arn:aws:iam::111122223333:role/scanner"],
];

const ANSWERS: [&str; 7] = [
    "init",
    "--force",
    "--name=prod",
    "--account=111122223333",
    "--subnet=subnet-0a1b2c3d4e5f67890",
    "--security-group=sg-0a1b2c3d4e5f67890",
    "--never-block=192.0.2.0/24",
];

/// What stands before the API, unless a setup says that it is a distribution.
const STAGE: [&str; 3] = ["--region=eu-west-1", "--api-id=a1b2c3d4e5", "--stage=prod"];

const DISTRIBUTION: &str = "--distribution=E1A2B3C4D5E6F7";

/// Writes the setups and checks them.
pub(crate) fn check() -> Result<(), String> {
    let tools = python("setup", "tests/setup/requirements.txt")?;
    let program = debug_program()?;
    let out = workspace::target().join("setup");
    if out.exists() {
        fs::remove_dir_all(&out).map_err(|error| format!("failed to clear: {error}"))?;
    }
    for (index, options) in SETUPS.iter().enumerate() {
        let place = out.join(index.to_string());
        let mut init = Process::new(&program);
        init.args(ANSWERS).args(*options).arg("--out").arg(&place).arg("--quiet");
        let region = if options.contains(&DISTRIBUTION) {
            "us-east-1"
        } else {
            init.args(STAGE);
            "eu-west-1"
        };
        init.arg(format!("--image=111122223333.dkr.ecr.{region}.amazonaws.com/portcullis:0.1.0"));
        init.stdout(std::process::Stdio::null());
        finish(&mut init)?;
        let template = place.join("cloudformation/portcullis.json");
        finish(
            Process::new(tools.join("cfn-lint"))
                .args(["--regions", region, "--template"])
                .arg(&template),
        )?;
        // Without --skip-download it calls its makers for descriptions of its checks.
        finish(
            Process::new(tools.join("checkov"))
                .args(["--skip-download", "--compact", "--quiet", "--framework", "cloudformation"])
                .args(["--check", POLICY_CHECKS, "--directory"])
                .arg(&place),
        )?;
        finish(
            Process::new(tools.join("python"))
                .arg(workspace::root().join("tests/setup/check_terraform.py"))
                .arg(place.join("terraform")),
        )?;
    }
    let recipes = [out.join("0/Dockerfile"), workspace::root().join("Dockerfile")];
    finish(Process::new(tools.join("hadolint")).args(recipes))?;
    println!("{} setups pass cfn-lint, checkov, the HCL check and hadolint", SETUPS.len());
    Ok(())
}

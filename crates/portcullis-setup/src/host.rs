//! The schedule on a machine of one's own: systemd, cron, and a job of a build server.
//!
//! All three run the same sequence: `plan`, and where the mode says so `apply` with the
//! plan just made, each as the one role it needs; and `expire` by itself, which must run
//! even when no log can be read. An exit of 3 from `plan` means that a part of the logs was
//! not covered: the plan is valid, and `apply` has a brake for it.
//!
//! cron reads `%` as a line feed and systemd reads `%` and `$`: no answer holds either.

use std::fmt::Write as _;

use crate::File;
use crate::answers::Setup;

pub(crate) fn files(setup: &Setup) -> Vec<File> {
    // Without anybody who is trusted, the scheduled tasks alone can use the roles.
    if setup.trusted.is_empty() {
        return Vec::new();
    }
    vec![
        File::new("host/portcullis-scan.service", scan_service(setup)),
        File::new("host/portcullis-scan.timer", timer(setup, "scan", 0)),
        File::new("host/portcullis-expire.service", expire_service(setup)),
        File::new("host/portcullis-expire.timer", timer(setup, "expire", 2)),
        File::new("host/portcullis.cron", cron(setup)),
        File::new("host/github-action.yml", github(setup)),
    ]
}

/// The commands, with `PLAN` where the plan is kept between them.
fn plan_command(setup: &Setup, plan: &str) -> String {
    let (location, name) = (setup.log_location(), &setup.name);
    format!("plan {location} --since {}h --target {name} --out {plan}", setup.since_hours)
}

fn apply_command(setup: &Setup, plan: &str) -> String {
    format!("apply {plan} --target {}", setup.name)
}

fn expire_command(setup: &Setup) -> String {
    format!("expire --target {}", setup.name)
}

/// What a service of systemd needs whatever it does: nothing of the machine but the network.
const CONFINED: &str = "\
Environment=PORTCULLIS_CONFIG=/etc/portcullis/portcullis.toml
EnvironmentFile=/etc/portcullis/environment
DynamicUser=yes
CapabilityBoundingSet=
LockPersonality=yes
MemoryDenyWriteExecute=yes
NoNewPrivileges=yes
PrivateDevices=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RestrictAddressFamilies=AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
UMask=0077
";

const UNIT: &str = "\
Wants=network-online.target
After=network-online.target
";

fn scan_service(setup: &Setup) -> String {
    let plan = "${RUNTIME_DIRECTORY}/plan.json";
    let role = |ending: &str| format!("--assume-role {}", setup.role_arn(ending));
    let mut commands = format!(
        "# 3 means that a part of the logs was not covered; the plan is valid.\n\
         SuccessExitStatus=3\n\
         ExecStart=/usr/bin/portcullis {} {}\n",
        plan_command(setup, plan),
        role("read")
    );
    if setup.mode.applies() {
        let _ = writeln!(
            commands,
            "ExecStart=/usr/bin/portcullis {} {}",
            apply_command(setup, plan),
            role("apply")
        );
    }
    format!(
        "[Unit]\nDescription=Portcullis looks for attackers in the logs of {name}\n{UNIT}\n\
         [Service]\nType=oneshot\nTimeoutStartSec={timeout}min\n\
         # Made anew for each run, so that no old plan is ever applied.\n\
         RuntimeDirectory=portcullis-scan\n{commands}\
         Environment=PORTCULLIS_REGION={region}\n{CONFINED}",
        name = setup.name,
        region = setup.region,
        timeout = setup.every_minutes,
    )
}

fn expire_service(setup: &Setup) -> String {
    format!(
        "[Unit]\nDescription=Portcullis ends the blocks of {name} that are over\n{UNIT}\n\
         [Service]\nType=oneshot\nTimeoutStartSec=5min\n\
         ExecStart=/usr/bin/portcullis {} --assume-role {}\n\
         Environment=PORTCULLIS_REGION={region}\n{CONFINED}",
        expire_command(setup),
        setup.role_arn("expire"),
        name = setup.name,
        region = setup.region,
    )
}

fn timer(setup: &Setup, what: &str, minute: u32) -> String {
    let every = setup.every_minutes;
    let minutes = if every == 60 { format!("{minute:02}") } else { format!("{minute:02}/{every}") };
    format!(
        "[Unit]\nDescription=Runs portcullis-{what} every {every} minutes\n\n\
         [Timer]\nOnCalendar=*-*-* *:{minutes}:00\nRandomizedDelaySec=20\nPersistent=true\n\n\
         [Install]\nWantedBy=timers.target\n"
    )
}

fn cron(setup: &Setup) -> String {
    let minutes = |first: u32| {
        let times: Vec<String> =
            (first..60).step_by(setup.every_minutes as usize).map(|m| m.to_string()).collect();
        times.join(",")
    };
    let plan = "/run/portcullis/plan.json";
    let role = |ending: &str| setup.role_arn(ending);
    let environment = "set -a; . /etc/portcullis/environment";
    // One run at a time; a run that still goes on is left alone.
    let lock = "flock --nonblock /run/portcullis/scan.lock";
    let mut scan =
        format!("portcullis {} --assume-role {}", plan_command(setup, plan), role("read"));
    if setup.mode.applies() {
        let _ = write!(
            scan,
            "; case $? in 0|3) portcullis {} --assume-role {};; esac",
            apply_command(setup, plan),
            role("apply")
        );
    }
    format!(
        "# For /etc/cron.d/portcullis. The user portcullis owns /run/portcullis; the file\n\
         # /etc/portcullis/environment sets PORTCULLIS_SETS and PORTCULLIS_CANARY_SETS.\n\
         SHELL=/bin/sh\n\
         PATH=/usr/bin:/bin\n\
         PORTCULLIS_CONFIG=/etc/portcullis/portcullis.toml\n\
         PORTCULLIS_REGION={region}\n\
         {} * * * * portcullis {lock} sh -c '{environment}; rm -f {plan}; {scan}'\n\
         {} * * * * portcullis {environment}; portcullis {} --assume-role {}\n",
        minutes(0),
        minutes(2),
        expire_command(setup),
        role("expire"),
        region = setup.region,
    )
}

fn github(setup: &Setup) -> String {
    let plan = "${{ runner.temp }}/plan.json";
    let mut steps = format!(
        "      # 3 means that a part of the logs was not covered; the plan is valid.\n\
         \x20     - run: portcullis {} || test $? -eq 3\n\
         \x20       env:\n\
         \x20         PORTCULLIS_ASSUME_ROLE: {}\n",
        plan_command(setup, plan),
        setup.role_arn("read"),
    );
    if setup.mode.applies() {
        let _ = write!(
            steps,
            "      - run: portcullis {}\n\
             \x20       env:\n\
             \x20         PORTCULLIS_ASSUME_ROLE: {}\n",
            apply_command(setup, plan),
            setup.role_arn("apply"),
        );
    }
    let trusted = &setup.trusted[0];
    format!(
        "# An example for .github/workflows/portcullis.yml, on a runner that has the program on\n\
         # its path. It signs in by OpenID Connect, without any stored key.\n\
         name: portcullis\n\
         on:\n\
         \x20 schedule:\n\
         \x20   - cron: \"{minutes} * * * *\"\n\
         permissions:\n\
         \x20 id-token: write\n\
         \x20 contents: read\n\
         # One run at a time.\n\
         concurrency: portcullis-{name}\n\
         env:\n\
         \x20 PORTCULLIS_CONFIG: portcullis.toml\n\
         \x20 PORTCULLIS_REGION: {region}\n\
         \x20 PORTCULLIS_SETS: ${{{{ vars.PORTCULLIS_SETS }}}}\n\
         \x20 PORTCULLIS_CANARY_SETS: ${{{{ vars.PORTCULLIS_CANARY_SETS }}}}\n\
         jobs:\n\
         \x20 expire:\n\
         \x20   runs-on: [self-hosted, portcullis]\n\
         \x20   timeout-minutes: 5\n\
         \x20   steps:\n\
         {sign_in}\
         \x20     - run: portcullis {expire}\n\
         \x20       env:\n\
         \x20         PORTCULLIS_ASSUME_ROLE: {expire_role}\n\
         \x20 scan:\n\
         \x20   runs-on: [self-hosted, portcullis]\n\
         \x20   timeout-minutes: {every}\n\
         \x20   steps:\n\
         {sign_in}\
         {steps}",
        minutes = if setup.every_minutes == 60 {
            "0".to_owned()
        } else {
            format!("*/{}", setup.every_minutes)
        },
        name = setup.name,
        region = setup.region,
        every = setup.every_minutes,
        expire = expire_command(setup),
        expire_role = setup.role_arn("expire"),
        sign_in = format_args!(
            "      - uses: actions/checkout@v4\n\
             \x20     # In a workflow of your own, pin the commit of an action and not its tag.\n\
             \x20     - uses: aws-actions/configure-aws-credentials@v4\n\
             \x20       with:\n\
             \x20         aws-region: {}\n\
             \x20         role-to-assume: {trusted}\n",
            setup.region
        ),
    )
}

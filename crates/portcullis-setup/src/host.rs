//! The schedule on a machine of one's own: systemd, cron, and a job of a build server.
//!
//! All three run the same two commands: `run` without ending what is over, as the role that
//! reads logs and, where the mode lets it change sets, as the one that changes them; and
//! `expire` by itself, which must run even when no log can be read. `run` has a lock of its
//! own. An exit of 3 means that a part of the logs was not covered, or is left for the next
//! run: the rest is done.
//!
//! cron reads `%` as a line feed and systemd reads `%` and `$`: no answer holds either.

use crate::File;
use crate::answers::Setup;

pub(crate) fn files(setup: &Setup) -> Vec<File> {
    // Without anybody who is trusted, the scheduled tasks alone can use the roles.
    if setup.trusted.is_empty() {
        return Vec::new();
    }
    let mut files = vec![
        File::new("host/portcullis-scan.service", scan_service(setup)),
        File::new("host/portcullis-scan.timer", timer(setup, "scan", 0)),
        File::new("host/portcullis-expire.service", expire_service(setup)),
        File::new("host/portcullis-expire.timer", timer(setup, "expire", 2)),
        File::new("host/portcullis.cron", cron(setup)),
        File::new("host/github-action.yml", github(setup)),
    ];
    if setup.watches {
        files.push(File::new("host/portcullis-watch.service", watch_service(setup)));
    }
    files
}

/// `run`, or `watch`, which takes the same.
fn command(verb: &str, setup: &Setup) -> String {
    format!("{verb} --target {} --no-expire", setup.name)
}

/// The roles of `run`, by the option that names each. What changes no set needs one only.
fn run_roles(setup: &Setup) -> Vec<(&'static str, String)> {
    if setup.mode.applies() {
        vec![("source-role", setup.role_arn("read")), ("assume-role", setup.role_arn("apply"))]
    } else {
        vec![("assume-role", setup.role_arn("read"))]
    }
}

/// The command with its roles as options.
fn with_roles(verb: &str, setup: &Setup) -> String {
    let roles = run_roles(setup);
    let roles = roles.iter().map(|(option, role)| format!(" --{option} {role}"));
    command(verb, setup) + &roles.collect::<String>()
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
    format!(
        "[Unit]\nDescription=Portcullis looks for attackers in the logs of {name}\n{UNIT}\n\
         [Service]\nType=oneshot\nTimeoutStartSec={timeout}min\n\
         # 3 means that a part of the logs was not covered, or is left for the next run.\n\
         SuccessExitStatus=3\n\
         ExecStart=/usr/bin/portcullis {}\n\
         Environment=PORTCULLIS_REGION={region}\n{CONFINED}",
        with_roles("run", setup),
        name = setup.name,
        region = setup.region,
        timeout = setup.every_minutes,
    )
}

fn watch_service(setup: &Setup) -> String {
    format!(
        "[Unit]\nDescription=Portcullis reads the logs of {name} as they arrive\n{UNIT}\n\
         [Service]\nType=exec\nRestart=always\nRestartSec=30\n\
         # What is being read is finished and saved.\n\
         TimeoutStopSec=5min\n\
         ExecStart=/usr/bin/portcullis {}\n\
         Environment=PORTCULLIS_REGION={region}\n{CONFINED}\n\
         [Install]\nWantedBy=multi-user.target\n",
        with_roles("watch", setup),
        name = setup.name,
        region = setup.region,
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
    let environment = "set -a; . /etc/portcullis/environment";
    format!(
        "# For /etc/cron.d/portcullis. The file /etc/portcullis/environment sets\n\
         # PORTCULLIS_SETS and PORTCULLIS_CANARY_SETS. A run that another one holds up ends.\n\
         SHELL=/bin/sh\n\
         PATH=/usr/bin:/bin\n\
         PORTCULLIS_CONFIG=/etc/portcullis/portcullis.toml\n\
         PORTCULLIS_REGION={region}\n\
         {} * * * * portcullis {environment}; portcullis {}\n\
         {} * * * * portcullis {environment}; portcullis {} --assume-role {}\n",
        minutes(0),
        with_roles("run", setup),
        minutes(2),
        expire_command(setup),
        setup.role_arn("expire"),
        region = setup.region,
    )
}

fn github(setup: &Setup) -> String {
    let roles = run_roles(setup).into_iter().map(|(option, role)| {
        let variable = option.replace('-', "_").to_uppercase();
        format!("          PORTCULLIS_{variable}: {role}\n")
    });
    let steps = format!(
        "      # 3 means that a part of the logs was not covered, or is left for the next run.\n\
         \x20     - run: portcullis {} || test $? -eq 3\n\
         \x20       env:\n{}",
        command("run", setup),
        roles.collect::<String>(),
    );
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

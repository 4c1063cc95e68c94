//! Commands that attacks run, and how clear it is that a name is one.

use crate::tokens::Lengths;

/// How clear it is that a name is a command.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Clarity {
    /// Nothing but a command is called so.
    Clear,
    /// A command that needs no argument, but also a word or a column's name.
    Short,
    /// An English word: counts with an argument only.
    Word,
}

/// Commands that attacks run. Sorted.
pub(super) const COMMANDS: &[(&[u8], Clarity)] = {
    use Clarity::{Clear, Short, Word};
    &[
        (b"arp", Clear),
        (b"at", Word),
        (b"awk", Clear),
        (b"base64", Clear),
        (b"bash", Clear),
        (b"bitsadmin", Clear),
        (b"busybox", Clear),
        (b"cat", Word),
        (b"certutil", Clear),
        (b"chmod", Clear),
        (b"chown", Clear),
        (b"cmd", Word),
        (b"cmd.exe", Clear),
        (b"copy", Word),
        (b"cp", Word),
        (b"crontab", Clear),
        (b"csh", Clear),
        (b"curl", Clear),
        (b"cut", Word),
        (b"dash", Word),
        (b"date", Word),
        (b"dd", Word),
        (b"del", Word),
        (b"df", Short),
        (b"dig", Word),
        (b"dir", Short),
        (b"echo", Word),
        (b"egrep", Clear),
        (b"env", Short),
        (b"expr", Word),
        (b"fgrep", Clear),
        (b"find", Word),
        (b"ftp", Word),
        (b"gcc", Clear),
        (b"grep", Clear),
        (b"head", Word),
        (b"host", Word),
        (b"hostname", Short),
        (b"id", Short),
        (b"ifconfig", Clear),
        (b"ip", Word),
        (b"ipconfig", Clear),
        (b"kill", Word),
        (b"ksh", Clear),
        (b"less", Word),
        (b"ln", Word),
        (b"ls", Short),
        (b"lua", Word),
        (b"mkdir", Clear),
        (b"mkfifo", Clear),
        (b"more", Word),
        (b"mshta", Clear),
        (b"msiexec", Clear),
        (b"mv", Word),
        (b"mysql", Word),
        (b"nc", Word),
        (b"nc.exe", Clear),
        (b"ncat", Clear),
        (b"net", Word),
        (b"netcat", Clear),
        (b"netsh", Clear),
        (b"netstat", Clear),
        (b"nl", Word),
        (b"node", Word),
        (b"nohup", Clear),
        (b"nslookup", Clear),
        (b"od", Word),
        (b"openssl", Word),
        (b"passwd", Word),
        (b"perl", Word),
        (b"php", Word),
        (b"ping", Word),
        (b"powershell", Clear),
        (b"powershell.exe", Clear),
        (b"print", Word),
        (b"printenv", Clear),
        (b"printf", Word),
        (b"ps", Short),
        (b"pwd", Short),
        (b"pwsh", Clear),
        (b"python", Word),
        (b"python2", Clear),
        (b"python3", Clear),
        (b"reboot", Short),
        (b"reg", Word),
        (b"regsvr32", Clear),
        (b"rev", Word),
        (b"rm", Word),
        (b"rmdir", Clear),
        (b"ruby", Word),
        (b"rundll32", Clear),
        (b"sc", Word),
        (b"schtasks", Clear),
        (b"sed", Clear),
        (b"set", Word),
        (b"sh", Short),
        (b"shutdown", Short),
        (b"sleep", Word),
        (b"socat", Clear),
        (b"sort", Word),
        (b"ssh", Word),
        (b"start", Word),
        (b"strings", Word),
        (b"su", Word),
        (b"sudo", Clear),
        (b"systemctl", Clear),
        (b"systeminfo", Clear),
        (b"tac", Word),
        (b"tail", Word),
        (b"tar", Word),
        (b"tasklist", Clear),
        (b"tcsh", Clear),
        (b"tee", Word),
        (b"telnet", Word),
        (b"test", Word),
        (b"tftp", Clear),
        (b"timeout", Word),
        (b"touch", Word),
        (b"traceroute", Clear),
        (b"tracert", Clear),
        (b"type", Word),
        (b"uname", Clear),
        (b"uniq", Word),
        (b"useradd", Clear),
        (b"vi", Word),
        (b"vim", Word),
        (b"wc", Word),
        (b"wget", Clear),
        (b"where", Word),
        (b"which", Word),
        (b"who", Word),
        (b"whoami", Clear),
        (b"whoami.exe", Clear),
        (b"wmic", Clear),
        (b"xargs", Clear),
        (b"xxd", Clear),
        (b"zsh", Clear),
    ]
};

const LENGTHS: Lengths = {
    let mut names: [&[u8]; COMMANDS.len()] = [b""; COMMANDS.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = COMMANDS[at].0;
        at += 1;
    }
    Lengths::of(&[&names])
};

pub(super) fn lookup(name: &[u8]) -> Option<Clarity> {
    if !LENGTHS.has(name) {
        return None;
    }
    let place = COMMANDS.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
    Some(COMMANDS[place].1)
}

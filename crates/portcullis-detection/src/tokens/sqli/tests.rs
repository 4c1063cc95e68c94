use super::*;
use crate::tokens::Tokens;
use crate::tokens::tests::check_all;

#[track_caller]
fn check(expected: bool, texts: &[&str]) {
    check_all(Tokens::Sqli, expected, texts);
}

#[test]
fn values_that_leave_single_quotes_are_found() {
    check(
        true,
        &[
            "' or 1=1",
            "' or '1'='1",
            "x' or 'x'='x",
            "admin'--",
            "admin' -- -",
            "admin'#",
            "admin'/*",
            "') or ('a'='a",
            "')) or 1=1 -- kxyz",
            "' or 1 --",
            "' or true--",
            "' or ''='",
            "' and sleep(5) and '",
            "'and 1=1 and ''='",
            "1' and 1=2 union select null,null--",
            "' || 'x'='x",
            "'||(select user from dual)||'",
            "'||utl_inaddr.get_host_address('x')||'",
            "'-'",
            "'='",
            "'+'",
            "'-0-'",
            "' like '%",
            "' or username like '%a%",
            "' or role='admin",
            "' and password is not null--",
            "'; drop table accounts--",
            "';waitfor delay '0:0:5'--",
            "';--",
            "x', 1, 2)-- -",
            "1' order by 3",
            "1' order by name-- -",
            "1' group by id having 1=1--",
            "1' limit 1,1 -- -",
            "\\' or 1=1--",
            "%' and 'a%'='a",
            "'' or 7>3 --",
        ],
    );
}

#[test]
fn values_that_leave_double_quotes_are_found() {
    check(
        true,
        &[
            "\" or 1=1--",
            "x\" or \"a\"=\"a",
            "\") or (\"x\"=\"x",
            "\" or \"\"=\"",
            "1\" and sleep(3)#",
            "a\" union all select 1,2,3#",
        ],
    );
}

#[test]
fn bare_values_that_go_on_are_found() {
    check(
        true,
        &[
            "1 or 1=1",
            "1 and 1=2",
            "-1 or 17=17",
            "1) or (1=1",
            "1 or 1",
            "1 or true",
            "1 and sleep(5)",
            "1 and (select 1)=1",
            "1 and exists(select * from t)",
            "1 or a=a",
            "1 and ascii(substring(version(),1,1))>51",
            "1-sleep(5)",
            "1;select pg_sleep(5)",
            "1; drop table users",
            "1 order by 10",
            "1 order by 10-- -",
            "1 having 1=1",
            "1-- -",
            "1/**/or/**/1=1",
            "1\u{a0}or\u{a0}1=1",
            "1/*!50000or*/1=1",
            "1or 1=1",
            "1 rlike (select 1)",
            "anything or 1=1",
            " and 7=convert(int,db_name())",
            " or x=y-- ",
            "or isnull(1/0) /*",
            " order by 1",
            " having count(id) > 5",
            "1 where 5=5",
        ],
    );
}

#[test]
fn structures_are_found_wherever_they_stand() {
    check(
        true,
        &[
            "-1 union select 1,2,3",
            "1 union all select null,@@version",
            "1e0union select 1",
            "1.union select password from users",
            "union/**/select/**/name,pass/**/from/**/users",
            "x union distinct select concat(0x7e,user())",
            "(select count(*) from users)",
            "(select(0)from(select(sleep(6)))v)",
            "select * from users where id = 1",
            "select name, pass from members",
            "if(now()=sysdate(),sleep(6),0)",
            "sleep(5)",
            "pg_sleep(10)",
            "benchmark(5000000,md5(1))",
            "extractvalue(1,concat(0x7e,version()))",
            "1 procedure analyse(1)",
            "x into outfile '/tmp/x'",
            "a; exec master..xp_cmdshell 'dir'",
            "exec sp_configure",
            "declare @s varchar(10)",
            "waitfor delay '0:0:9'",
            "insert into users values (1,2)",
            "update users set admin=1",
            "delete from users where 1",
            "; truncate table logs",
            "a from information_schema.tables",
            "case when 1=1 then 1 else 2 end",
            "char(97,98,99)",
            "chr(97)||chr(98)",
            "dbms_pipe.receive_message('a',5)",
            "convert(int,@@version)",
            "select session_user;",
            "select current_setting('port')",
            "1;call regexp_substring(x)",
            "'1'::int",
        ],
    );
}

#[test]
fn prose_is_left_alone() {
    check(
        false,
        &[
            "select a shirt or two",
            "O'Brien",
            "1 or 2 bedrooms",
            "1 or 2",
            "2 and 3",
            "rock 'n' roll",
            "it's a dog's life",
            "don't or can't",
            "5' or 6' tall",
            "5'-6' tall",
            "cats' and dogs' tails",
            "the '90s and '00s",
            "boys' clothes - size 5",
            "student union select committee",
            "union of states",
            "please select one from the list",
            "select items from catalogue",
            "select all that apply (select one)",
            "toppings (select 2)",
            "drop table lamp shades",
            "update your set of keys",
            "insert into slot a",
            "delete from basket",
            "create user account",
            "order by 5 pm",
            "group by colour",
            "sleep (8 hours)",
            "having 2 kids",
            "in case when it rains",
            "exec summary",
            "declare independence",
            "a -- or rather b -- as said",
            "17\" -- the best screen size",
            "he said \"hi\" -- and left",
            "\"red\" or \"blue\"",
            "'red' or 'blue'",
            "limit 5",
            "where is the love",
            "version (2)",
            "oak\" + \"pine\" + \"ash\"",
            "small \"&\" sign",
            "1/4\"-1/2 board",
            "\"like\" stamp",
            "words like 'and'",
            "\"mod\" \"",
            "user (guest)",
        ],
    );
}

#[test]
fn data_of_programs_is_left_alone() {
    check(
        false,
        &[
            "{\"a\":\"b\",\"c\":[\"-\",\"+\"]}",
            "['a','b']",
            "{'a': 'b', 'or': 1}",
            "<a href=\"x\" class=\"y\">z</a>",
            "https://example.com/?a=1&b=2#top",
            "YWJj+ZGVm/Zw==",
            "price>10 and size<3",
            "name eq 'x' and age gt 5",
            "(a:1 AND b:2) OR c:3",
            "project = web and status = done",
            "a && b || c",
            "red-or-blue",
            "2-or-3-bedrooms",
            "2024-01-01--2024-02-01",
            "(&(uid=x)(mail=*))",
            "f(x) = 2*(x+1)",
            "10;20;30",
            "a=1;b=2",
            "#fff",
            "\"-\"",
            "text/html, */*;q=0.8",
            "select=name&order=asc",
            "$select=name,price&$orderby=name",
            "fields=id,name&union=yes",
            "1,2,3",
            "12%",
            "c++",
            "",
        ],
    );
}

#[test]
fn the_cost_stays_linear() {
    // Each of these made some scanner quadratic once; they must return at once.
    for piece in ["/*", "'", "union ", "select (", "or ", "case when ", "if(", "\\'", "(", "@"] {
        find(piece.repeat(20_000 / piece.len()).as_bytes());
    }
}

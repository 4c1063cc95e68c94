//! What single requests and rejects are taken for.

use portcullis_detection::{
    BLOCK_LEVEL, Category, Literal, MAX_TEXT_BYTES, ObjectSeen, RuleKind, RuleSet, Scan, Verdict,
};
use portcullis_ingest::{Field, Origin, Reject, RejectReason, Request, Untrusted};

use crate::sent::{builtin, rules};

#[test]
fn the_examples_of_the_test_rules_hold() {
    let failures: Vec<String> = rules().test().iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn the_examples_of_the_rules_compiled_in_hold() {
    let failures: Vec<String> = RuleSet::builtin().test().iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

/// A query or path, judged by the rules compiled in.
fn judged(path: &str, query: &str) -> Verdict {
    builtin().classify(&Request {
        path: Some(Untrusted::new(path.as_bytes())),
        query: Some(Untrusted::new(query.as_bytes())),
        ..Request::default()
    })
}

#[test]
fn what_a_value_or_segment_of_base64_stands_for_is_searched() {
    for (path, query, matched) in [
        ("/", "id=LTQnIHVuaW9uIHNlbGVjdCAxLHVzZXIoKS0tIA%3D%3D", "union select"),
        ("/items/eCcgb3IgJzEnPScx", "", "or"),
        ("/", "p=Ij48aW1nIHNyYz1xIG9uZXJyb3I9YWxlcnQoNyk%2B", "onerror"),
        ("/", "a=1&p=PCEtLSNleGVjIGNtZD0idW5hbWUiIC0tPg%3D%3D", "<!--#exec"),
        ("/", "f=Li4vLi4vLi4vLi4vZXRjL3Bhc3N3ZA%3D%3D&b=2", "../"),
        ("/dl/cGhwOi8vZmlsdGVyL3Jlc291cmNlPWE%3D", "", "php://filter"),
        // Twice.
        ("/", "p=UEhOamNtbHdkRDVoYkdWeWRDZ3hLUT09", "<script"),
    ] {
        let verdict = judged(path, query);
        assert!(verdict.flagged(), "{path}?{query}: {verdict:?}");
        let wrapped: Vec<_> = verdict.hits().iter().filter(|hit| hit.in_base64).collect();
        let shown = |hit: &&portcullis_detection::Hit| {
            let seen = String::from_utf8_lossy(hit.matched.as_untrusted().bytes()).into_owned();
            let logged = hit.text.as_untrusted().bytes().to_vec();
            seen.contains(matched) && !logged.is_empty() && hit.reading().starts_with("base64")
        };
        assert!(wrapped.iter().any(shown), "{path}?{query}: {wrapped:?}");
    }
}

#[test]
fn honest_base64_is_quiet() {
    for (path, query) in [
        ("/items", "cursor=eyJhZnRlciI6IjIwMjQtMDUtMDFUMDA6MDA6MDBaIiwiaWQiOjQ3MTF9"),
        ("/items", "state=eyJzb3J0IjoibmFtZSIsInNlbGVjdCI6WyJpZCIsIm5hbWUiXSwiZnJvbSI6MjB9"),
        ("/me", "profile=eyJuYW1lIjoiS2ltIiwicm9sZSI6InJlYWRlciIsInBsYW4iOiJmcmVlIn0"),
        ("/avatar", "data=iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"),
        ("/dl", "f=cmVwb3J0cy8yMDI0L3N1bW1hcnkucGRm"),
        ("/items/bWFuYWdlcg", "page=QUJDREVGR0hJSktMTU5PUA"),
        ("/me", "s=MTcwMDAwMDAwMHxOd3dBTkRkT1YwSlhXVk0"),
        ("/go", "to=aHR0cHM6Ly9zaG9wLmV4YW1wbGUuY29tL2NhcnQ_aXRlbT00Nw"),
        (
            "/me",
            "t=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
        ),
    ] {
        let verdict = judged(path, query);
        assert_eq!(verdict.score(), 0, "{path}?{query}: {verdict:?}");
    }
}

#[test]
fn honest_requests_of_many_kinds_are_not_flagged() {
    let mut flagged = Vec::new();
    for (path, query) in [
        // Tokens, identifiers, opaque state.
        (
            "/callback",
            "code=4%2F0AX4XfWh-abc_DEF&state=eyJyIjoiL2hvbWUiLCJuIjoiMTIzIn0%3D&scope=openid+email",
        ),
        (
            "/v1/me",
            "access_token=eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiIxIiwiYXVkIjoiYXBpIn0.c2lnbmF0dXJl",
        ),
        ("/items", "cursor=WyIyMDI0LTA1LTAxIiwgNDcxMV0%3D"),
        ("/files/d41d8cd98f00b204e9800998ecf8427e/550e8400-e29b-41d4-a716-446655440000", ""),
        // GraphQL, OData, query languages.
        (
            "/graphql",
            "query=query+Hero($id:+ID!)+%7B+hero(id:+$id)+%7B+name+friends(first:+10)+%7B+name+%7D+%7D+%7D&variables=%7B%22id%22:%221000%22%7D",
        ),
        (
            "/odata/Orders",
            "$filter=Price+gt+20+and+Name+eq+'Milk'&$select=Id,Name&$orderby=Name+desc&$top=10",
        ),
        (
            "/search",
            "q=%7B%22query%22:%7B%22match%22:%7B%22title%22:%22select+from%22%7D%7D,%22sort%22:%5B%7B%22date%22:%22desc%22%7D%5D%7D",
        ),
        (
            "/metrics",
            "query=sum(rate(http_requests_total%7Bjob%3D%22api%22%7D%5B5m%5D))+by+(status)",
        ),
        (
            "/rest/issues",
            "jql=project+%3D+ABC+AND+status+in+(Open,+%22In+Progress%22)+ORDER+BY+created+DESC",
        ),
        // Analytics and advertising.
        (
            "/collect",
            "v=1&t=pageview&dl=https%3A%2F%2Fshop.example.com%2Fp%3Fid%3D1%26ref%3Da&dt=Kim%27s+%26+Lee%27s+%7C+Shop&sr=1920x1080&cd1=(not+set)&z=123",
        ),
        (
            "/",
            "utm_source=fb&utm_campaign=%7B%7Bcampaign.name%7D%7D&fbclid=IwAR0_x-Y&gclid=Cj0KCQiA5rGuBhCn",
        ),
        ("/pixel", "e=%5B%7B%22n%22:%22click%22,%22x%22:12%7D%5D&r=0.123&u=%2Fcart%3Fa%5B%5D%3D1"),
        // Prose, names, other scripts.
        ("/search", "q=select+the+best+from+our+union+of+tables+where+prices+drop"),
        ("/search", "q=O%27Brien+or+D%27Angelo+and+L%27Or%C3%A9al"),
        ("/search", "q=how+to+drop+a+table+in+sql+and+insert+into+another"),
        (
            "/search",
            "q=%D0%BA%D1%83%D0%BF%D0%B8%D1%82%D1%8C+%D1%81%D0%BB%D0%BE%D0%BD%D0%B0+%E2%80%94+%C2%AB%D0%B4%D1%91%D1%88%D0%B5%D0%B2%D0%BE%C2%BB",
        ),
        (
            "/search",
            "q=%E5%BF%AB%E9%80%9F%E6%90%9C%E7%B4%A2%EF%BC%88%E5%85%A8%E9%83%A8%EF%BC%89%EF%BC%9A%E4%BB%B7%E6%A0%BC",
        ),
        ("/search", "q=rock+%26+roll+-+the+%2790s+%2F+part+2+(live)"),
        ("/search", "q=is+5+%3E+3+%3F+and+price+%3C+100"),
        ("/search", "q=C%2B%2B+vs+C%23+%7C+which+one%3F"),
        // Code, markup and paths that people look for.
        ("/search", "q=what+does+document.getElementById+do"),
        ("/search", "q=ls+-la+meaning+in+linux"),
        ("/search", "q=python+import+os+error"),
        ("/search", "q=how+to+use+%3Cdiv%3E+and+%3Cspan%3E"),
        (
            "/notes",
            "text=%23+Title%0A%0A*+one%0A*+two%0A%0A%5Blink%5D(https%3A%2F%2Fexample.com%2F%3Fa%3D1)+%60code%60",
        ),
        ("/theme", "css=body%7Bcolor:%23fff;background:url(%2Fimg%2Fa.png)%7D"),
        ("/render", "tpl=Hello+%7B%7Bname%7D%7D,+your+order+%24%7Border%7D+is+ready"),
        ("/docs/how-to-prevent-sql-injection-union-select", ""),
        ("/assets/js/app.min.js.map", "v=1.2.3"),
        ("/photos/IMG_0001%20(copy).JPG", ""),
        ("/~kim/files/report..final.pdf", ""),
        // Addresses as values.
        ("/go", "url=https%3A%2F%2Fwww.example.com%2Fa%2Fb%3Fx%3D1%26y%3D2%23top"),
        (
            "/login",
            "returnTo=%2Faccount%2Forders%3Fpage%3D2&mail=kim.o%27neil%2Bshop%40example.com",
        ),
        ("/proxy/image", "src=https://cdn.example.com/i/1.jpg&w=200&h=100"),
        // Numbers, times, places.
        (
            "/api/v2/events",
            "from=2024-01-01T00:00:00%2B02:00&to=2024-02-01T00:00:00Z&bbox=-0.5,51.2,0.3,51.7",
        ),
        ("/units", "expr=3*(4%2B5)/2&size=6%27+2%22"),
        ("/phone/+49%20(0)89%20123-456;ext=7", ""),
    ] {
        for method in ["GET", "PUT", "PATCH", "DELETE"] {
            let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
            let request = Request {
                method: Some(Untrusted::new(method.as_bytes())),
                path: Some(Untrusted::new(path.as_bytes())),
                query: (!query.is_empty()).then(|| Untrusted::new(query.as_bytes())),
                user_agent: Some(Untrusted::new(agent.as_bytes())),
                ..Request::default()
            };
            let verdict = builtin().classify(&request);
            if verdict.flagged() {
                let rules: Vec<&str> =
                    verdict.hits().iter().map(|hit| builtin().rules()[hit.rule].id()).collect();
                flagged.push(format!("{method} {path}?{query}: {rules:?}"));
            }
        }
    }
    assert!(flagged.is_empty(), "{flagged:#?}");
}

#[test]
fn huge_fields_are_cut_and_counted_and_their_ends_are_seen() {
    let mut path = b"/".to_vec();
    path.extend(b"%25".repeat(400_000));
    path.extend(b"/.env");
    let request = Request { path: Some(Untrusted::new(&path)), ..Request::default() };
    let verdict = rules().classify(&request);
    assert_eq!(verdict.truncated_fields(), 1);
    assert_eq!(verdict.hits().len(), 1, "{verdict:?}");
    assert!(path.len() > MAX_TEXT_BYTES);
}

#[test]
fn of_very_many_parameters_the_last_are_searched_together_and_counted() {
    let query = |honest: usize| {
        let mut query = "a=%20&".repeat(honest);
        query.push_str("id=1%27%20or%201=1--");
        query
    };
    let judged = |query: &str| {
        let query = Some(Untrusted::new(query.as_bytes()));
        RuleSet::builtin().classify(&Request { query, ..Request::default() })
    };
    let few = judged(&query(10));
    assert!(few.flagged());
    assert_eq!(few.truncated_fields(), 0);
    let many = judged(&query(1_000));
    assert!(many.flagged());
    assert_eq!(many.truncated_fields(), 1);
}

#[test]
fn comments_up_to_the_end_of_a_line_hide_no_statement() {
    for query in [
        "id=1%23%0AUNION%23%0ASELECT%23%0A1,2,3",
        "id=-1--xk%0AUNION--pq%0AALL--z%0ASELECT--%0Ausername,password--%0AFROM--%0Ausers",
        "id=1--a%0D%0Aor--a%0D%0A1=1",
        "id=1;--a%0adrop--a%0atable--a%0ausers",
    ] {
        assert!(judged("/", query).flagged(), "{query}");
    }
    for query in ["note=%23+Shopping%0Amilk+--%0Abread", "text=one+%23two%0Athree+--four%0Afive"] {
        assert!(judged("/", query).hits().is_empty(), "{query}");
    }
}

#[test]
fn what_is_beyond_doubt_is_searched_no_further_and_counted() {
    const ATTACKS: [&str; 10] = [
        "1' union all select null,version()-- -",
        "'; drop table users--",
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "${jndi:ldap://192.0.2.1/a}",
        ";cat /etc/passwd",
        "../../../../etc/shadow",
        "php://filter/convert.base64-encode/resource=index",
        "http://169.254.169.254/latest/meta-data/",
        "{{7*7}}",
    ];
    let judged_with = |attacks: usize| {
        let query: Vec<String> = ATTACKS[..attacks].iter().map(|one| format!("a={one}")).collect();
        let query = query.join("&");
        builtin().classify(&Request {
            query: Some(Untrusted::new(query.as_bytes())),
            user_agent: Some(Untrusted::new(b"sqlmap/1.7")),
            ..Request::default()
        })
    };
    let blocking = |verdict: &Verdict| {
        let rules = verdict.hits().iter().map(|hit| &builtin().rules()[hit.rule]);
        rules.filter(|rule| rule.points() >= BLOCK_LEVEL).count()
    };
    let few = judged_with(1);
    assert!(few.categories().contains(&Category::ScannerUa), "{few:?}");
    assert_eq!(few.truncated_fields(), 0);
    let many = judged_with(ATTACKS.len());
    assert!(!many.categories().contains(&Category::ScannerUa), "{many:?}");
    assert_eq!((blocking(&many), many.truncated_fields()), (12, 2));
}

#[test]
fn no_text_that_makes_every_rule_suspect_hides_an_attack() {
    let signatures = builtin().rules().iter().filter_map(|rule| match rule.kind() {
        RuleKind::Signature(signature) => Some(signature),
        RuleKind::Rate(_) => None,
    });
    let literals = signatures.filter_map(|signature| {
        let mut words = signature.literals().iter().map(Literal::text);
        words.find(|word| word.len() > 3 && !word.contains(['&', '%', '+', '\n', '\r']))
    });
    let harmless = |word: &&str| judged("/", &format!("p=z {word} z")).hits().is_empty();
    let padding = literals.filter(harmless).collect::<Vec<_>>().join(" z ");
    assert!(padding.len() > 500, "{padding}");
    let padding = padding + &" a".repeat(1_000);
    let before = judged("/", &format!("p={padding}"));
    let before: Vec<usize> = before.hits().iter().map(|hit| hit.rule).collect();
    for attack in ["1' or '1'='1", "<script>alert(1)</script>", "|id", "{{7*7}}", "1 and sleep(5)"]
    {
        let alone = judged("/", &format!("q={attack}"));
        let behind = judged("/", &format!("p={padding}&q={attack}"));
        assert!(alone.flagged(), "{attack}");
        for hit in alone.hits() {
            let found = behind.hits().iter().any(|other| other.rule == hit.rule);
            let id = builtin().rules()[hit.rule].id();
            assert!(found || before.contains(&hit.rule), "{attack}: {id}");
        }
        assert_eq!(behind.truncated_fields(), 0, "{attack}");
    }
}

#[test]
fn evidence_shows_the_field_as_logged_and_the_match_as_decoded() {
    let query = format!("{}&q=%253Cscript%253E&z=1", "a=1&".repeat(200));
    let request = Request { query: Some(Untrusted::new(query.as_bytes())), ..Request::default() };
    let verdict = rules().classify(&request);
    let [hit] = verdict.hits() else { panic!("{verdict:?}") };
    let text = String::from_utf8_lossy(hit.text.as_untrusted().bytes()).into_owned();
    assert!(text.contains("%253Cscript%253E"), "{text}");
    assert_eq!(hit.matched.as_untrusted().bytes(), b"<script");
}

#[test]
fn a_reject_is_searched_and_never_attributed() {
    let mut scan = Scan::new(rules());
    scan.observe_reject(&Reject {
        reason: RejectReason::Forged,
        text: Untrusted::new(br#"{"ip":"192.0.2.9","path":"/<script>/.env"}"#),
        origin: Origin { object: "a", offset: 0 },
        length: 42,
        is_searched: true,
    });
    let findings = scan.finish();
    assert_eq!(findings.coverage.rejected(), 1);
    assert_eq!(findings.coverage.rejects_with_signatures, 1);
    assert_eq!((findings.offenders.len(), findings.watched.len()), (0, 0));
    let [forgery] = &findings.forgeries[..] else { panic!("{findings:?}") };
    assert_eq!((forgery.reason, forgery.records), (RejectReason::Forged, 1));
    assert_eq!(forgery.evidence, std::slice::from_ref(&forgery.last));
}

#[test]
fn whole_records_in_which_nothing_is_wrong_hold_no_attack() {
    let line = |path: &str| {
        format!(
            "192.0.2.7 - bob [26/Jan/2026:10:11:07 +0000] \"GET {path} HTTP/1.1\" 200 5 45 \
             \"Mozilla/5.0 (X11; Linux x86_64)\" 3f2504e0-4f89-11d3-9a0c-0305e82c3301 AvfiBE7QvHcFq1g="
        )
    };
    assert!(!rules().scan_text(line("/prod/pets/1").as_bytes()).flagged());
    assert!(rules().scan_text(line("/prod/<script>alert(1)</script>").as_bytes()).flagged());
}

#[test]
fn a_reject_that_is_not_worth_a_search_is_counted_as_such() {
    let mut scan = Scan::new(rules());
    scan.observe_reject(&Reject {
        reason: RejectReason::Shape,
        text: Untrusted::new(b"/<script>/.env"),
        origin: Origin { object: "a", offset: 0 },
        length: 14,
        is_searched: false,
    });
    let coverage = scan.finish().coverage;
    assert_eq!((coverage.rejected(), coverage.rejects_not_searched), (1, 1));
    assert_eq!(coverage.rejects_with_signatures, 0);
}

#[test]
fn the_evidence_of_a_forgery_is_the_beginning_of_its_record() {
    let text = [b"{\"ip\":\"192.0.2.9\"".as_slice(), &[b'x'; 5_000]].concat();
    let mut scan = Scan::new(rules());
    scan.observe_reject(&Reject {
        reason: RejectReason::Ambiguous,
        text: Untrusted::new(&text),
        origin: Origin { object: "a", offset: 7 },
        length: text.len() as u64,
        is_searched: true,
    });
    let findings = scan.finish();
    let [record] = &findings.forgeries[0].evidence[..] else { panic!("{findings:?}") };
    assert_eq!((&*record.object, record.offset, record.length), ("a", 7, text.len() as u64));
    assert_eq!(record.text.as_untrusted().bytes(), &text[..256]);
}

#[test]
fn coverage_names_the_rules_that_could_not_look() {
    let mut scan = Scan::new(rules());
    let fields = [Field::Client, Field::Time, Field::Status, Field::Method].into_iter().collect();
    scan.object(&ObjectSeen {
        object: "k",
        format: Some("stock"),
        fields,
        records: 3,
        text_bytes: 300,
        outside_span: 0,
        duplicates: 0,
        incomplete: Some("cut off"),
    });
    let coverage = scan.finish().coverage;
    let blind: Vec<(&str, Vec<&str>)> = coverage
        .blind
        .iter()
        .map(|(rule, blind)| (&**rule, blind.missing.iter().copied().collect()))
        .collect();
    assert_eq!(
        blind,
        [
            ("test/agent", vec!["user_agent"]),
            ("test/dotfile", vec!["path"]),
            ("test/fan-out", vec!["path"]),
            ("test/network", vec!["path"]),
            ("test/parameter", vec!["query"]),
            ("test/principal", vec!["principal"]),
            ("test/quote", vec!["query"]),
            ("test/script", vec!["path", "query", "referer"]),
        ]
    );
    assert_eq!(coverage.incomplete.len(), 1);
    assert_eq!(coverage.formats["stock"], 1);
}

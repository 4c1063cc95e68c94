// Text that runs, loads or reorders something wherever a page forgets to escape it.

export const payloads = [
  '<script>window.ran=1</script>',
  '"><script>window.ran=1</script>',
  "'><img src=x onerror=window.ran=1>",
  '</style><script>window.ran=1</script>',
  '</title><svg onload=window.ran=1>',
  '</code><iframe srcdoc="<script>parent.ran=1</script>"></iframe>',
  '<details open ontoggle=window.ran=1>',
  '<a href="javascript:window.ran=1" autofocus onfocus=window.ran=1>x</a>',
  '" onmouseover="window.ran=1" autofocus onfocus="window.ran=1" x="',
  '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=x onerror=window.ran=1&gt;">',
  '<link rel=stylesheet href=//198.51.100.1/x.css><base href=//198.51.100.1/>',
  '<meta http-equiv=refresh content="0;url=//198.51.100.1/">',
  '<form action=//198.51.100.1/><button>go</button></form>',
  '&lt;script&gt;window.ran=1&lt;/script&gt;',
  '{{constructor.constructor("window.ran=1")()}}${window.ran=1}#{7*7}',
  '\u202e<script>window.ran=1</script>\u2066\u200b',
  '<scr\u0000ipt>window.ran=1</scr\u0000ipt>\u001b[2J\u009b31m',
  '%3Cscript%3Ewindow.ran=1%3C/script%3E',
];

// Fields of API Gateway's JSON format whose text a client chooses, or may.
export const fields = [
  'requestId', 'httpMethod', 'path', 'routeKey', 'protocol', 'userAgent', 'domainName', 'stage',
  'apiId', 'principal', 'errorType',
];

const template = {
  requestId: 'id', ip: '', requestTime: '02/Mar/2026:09:00:00 +0000', httpMethod: 'GET',
  path: '/prod/.env', routeKey: 'GET /', status: '200', protocol: 'HTTP/1.1', userAgent: 'sqlmap/1.8',
  domainName: 'api.example.com', stage: 'prod', apiId: 'abc', principal: 'p', errorType: '-',
};

// Every payload in every field, each from a client of its own that is an offender anyway.
export function hostileLog() {
  const lines = [];
  let number = 0;
  for (const field of fields) {
    for (const payload of payloads) {
      const ip = `198.18.${number >> 8}.${number & 255}`;
      number += 1;
      const record = { ...template, ip, requestId: `id-${number}` };
      const attack = JSON.stringify({ ...record, [field]: payload });
      const probe = JSON.stringify({ ...record, requestId: `id-${number}-b`, path: `/prod/.git/config` });
      lines.push(attack, probe);
    }
  }
  return { text: lines.join('\n') + '\n', clients: number };
}

// The same payloads where web servers log what clients write: path and query, referer, agent.
export function hostileCombinedLog() {
  const quoted = (text) => text.replace(/[\u0000-\u001f]/g, '').replace(/"/g, '\\"');
  const lines = payloads.map((payload, number) => {
    const path = `/.env?q=${encodeURIComponent("1' union select 1,2,3--")}&x=${payload.replace(/[\s"\u0000-\u001f]/g, '+')}`;
    return `203.0.113.${number + 1} - - [02/Mar/2026:09:00:00 +0000] "GET ${path} HTTP/1.1" 200 5 "${quoted(payload)}" "sqlmap ${quoted(payload)}"`;
  });
  return { text: lines.join('\n') + '\n', clients: lines.length };
}

// Many offenders, each with a probe and an honest request.
export function crowd(clients) {
  const lines = [];
  for (let number = 0; number < clients; number += 1) {
    const ip = `198.${18 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`;
    const time = `02/Mar/2026:${String(8 + (number % 4)).padStart(2, '0')}:${String(number % 60).padStart(2, '0')}:00 +0000`;
    lines.push(`${ip} - - [${time}] "GET /.git/config?n=${number} HTTP/1.1" 404 5 "-" "sqlmap/1.8"`);
    lines.push(`${ip} - - [${time}] "GET /products/${number} HTTP/1.1" 200 5 "-" "Mozilla/5.0"`);
  }
  return lines.join('\n') + '\n';
}

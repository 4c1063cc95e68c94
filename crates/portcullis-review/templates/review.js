// Makes the pages of a review quick to use. They work without it, but for the keys.
//
// Links and forms are followed in place, so that focus and scroll stay where they are and
// closing the window is the only way to leave it: that is when unsaved decisions warn.
'use strict';

const page = () => document.getElementById('page');
const unsaved = () => Number(page()?.dataset.unsaved ?? 0);

// The key stands behind the # of the first address, which is sent to nobody. It is taken
// out of the address at once, so that no history keeps it.
function enter() {
  const form = document.getElementById('entrance');
  const key = location.hash.slice(1);
  if (!form || !key) return;
  history.replaceState(null, '', location.pathname);
  document.getElementById('key').value = key;
  form.submit();
}

// Shows what a request answered, in place of what is shown. Of several, the last one asked.
let asked = 0;
async function show(request, { push = true, focus = null } = {}) {
  asked += 1;
  const number = asked;
  page().setAttribute('aria-busy', 'true');
  let answer;
  let text;
  try {
    answer = await fetch(request, { credentials: 'same-origin' });
    text = await answer.text();
  } catch {
    page().removeAttribute('aria-busy');
    say('The review has ended: no answer from portcullis.');
    document.body.classList.add('gone');
    return;
  }
  if (number !== asked) return;
  const next = new DOMParser().parseFromString(text, 'text/html');
  const fresh = next.getElementById('page');
  if (!fresh) { location.assign(answer.url); return; }
  const same = fresh.dataset.here === page().dataset.here && new URL(answer.url).pathname === location.pathname;
  const top = scrollY;
  const position = document.activeElement?.selectionStart;
  page().replaceWith(document.adoptNode(fresh));
  document.title = next.title;
  if (push && answer.url !== location.href) history.pushState(null, '', answer.url);
  scrollTo(0, same ? top : 0);
  const target = (focus && document.getElementById(focus)) || document.querySelector('main h1');
  target?.focus({ preventScroll: same });
  if (focus && typeof position === 'number' && target?.type === 'search') target.setSelectionRange(position, position);
  decorate();
  say(document.getElementById('sum')?.textContent ?? document.querySelector('[role=alert]')?.textContent ?? '');
}

function say(text) {
  const said = document.getElementById('said');
  if (said) said.textContent = text;
}

// What only the script can do is only shown when it runs.
function decorate() {
  const keys = document.getElementById('keys');
  if (keys) keys.hidden = false;
  const box = document.getElementById('keys-on');
  if (box) box.checked = keysAct();
}

const keysAct = () => sessionStorage.getItem('keys') !== 'off';

document.addEventListener('click', (event) => {
  if (event.target.closest('#keys')) { document.getElementById('help').showModal(); return; }
  const link = event.target.closest('a[href]');
  if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const url = new URL(link.href);
  if (url.origin !== location.origin || link.getAttribute('href').startsWith('#')) return;
  event.preventDefault();
  show(url.href, { focus: link.closest('thead, .pages') ? link.id : null });
});

document.addEventListener('submit', (event) => {
  const form = event.target;
  if (form.id === 'entrance' || form.method === 'dialog') return;
  event.preventDefault();
  const fields = new URLSearchParams(new FormData(form));
  const button = event.submitter;
  if (button?.name) fields.append(button.name, button.value);
  const focus = button?.id === 'filter-go' ? 'filter' : (button?.dataset.focus || document.activeElement?.id || button?.id);
  if (form.method === 'get') {
    for (const [name, value] of [...fields]) if (!value) fields.delete(name);
    show(`${form.getAttribute('action')}?${fields}`, { focus });
  } else {
    show(new Request(form.getAttribute('action'), { method: 'POST', body: fields }), { focus });
  }
});

document.addEventListener('change', (event) => {
  if (event.target.id === 'keys-on') sessionStorage.setItem('keys', event.target.checked ? 'on' : 'off');
  const form = event.target.closest('form');
  if (form?.matches('.filter') && event.target.matches('select')) form.requestSubmit();
  if (form?.matches('.others-form')) form.requestSubmit();
});

addEventListener('popstate', () => show(location.href, { push: false }));

addEventListener('beforeunload', (event) => {
  if (unsaved() > 0 && !document.body.classList.contains('gone')) event.preventDefault();
});

const isTyping = (element) => element?.matches('input:not([type=radio], [type=checkbox]), textarea, select') ?? false;

function move(step) {
  const rows = [...document.querySelectorAll('[data-row]')];
  const here = rows.indexOf(document.activeElement?.closest('[data-row]'));
  const row = rows[Math.min(Math.max(here + step, 0), rows.length - 1)];
  row?.querySelector('th a').focus();
  row?.scrollIntoView({ block: 'nearest' });
}

// A key presses the button, follows the link or enters the field that names it, in the row
// that has the focus where there are rows.
function press(key) {
  const row = document.activeElement?.closest('[data-row]');
  const target = (row ?? document).querySelector(`[data-key="${key}"]`) ?? document.querySelector(`:not([data-row] *)[data-key="${key}"]`);
  if (!target || (target.closest('[data-row]') && !row)) return false;
  if (isTyping(target)) { target.focus(); target.select?.(); return true; }
  if (row && target.closest('[data-row]')) target.dataset.focus = row.querySelector('th a').id;
  target.click();
  return true;
}

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const help = document.getElementById('help');
  if (help?.open) return;
  if (event.key === 'Escape' && isTyping(document.activeElement)) { document.activeElement.blur(); document.querySelector('main h1')?.focus({ preventScroll: true }); return; }
  if (isTyping(document.activeElement) || !keysAct() && event.key !== '?') return;
  if (event.key === '?') { event.preventDefault(); help?.showModal(); return; }
  if ((event.key === 'j' || event.key === 'k') && page()?.dataset.here === 'sources') { event.preventDefault(); move(event.key === 'j' ? 1 : -1); return; }
  if (/^[a-z/]$/.test(event.key) && press(event.key)) event.preventDefault();
});

enter();
decorate();

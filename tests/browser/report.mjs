// The report in a real browser: nothing runs, nothing loads, everybody can use it.
//
// Usage: node report.mjs PROGRAM MODULES CHROMIUM [SCREENSHOTS]
// PROGRAM is the portcullis to test, MODULES the folder that holds node_modules. With
// SCREENSHOTS, pictures for the documentation are written to that folder.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import assert from 'node:assert/strict';
import { crowd, hostileCombinedLog, hostileLog } from './corpus.mjs';

const [program, modules, chromiumPath, screenshots] = process.argv.slice(2);
const require = createRequire(join(modules, 'package.json'));
const { chromium } = require('playwright-core');
const axeSource = require('axe-core').source;

const folder = mkdtempSync(join(tmpdir(), 'portcullis-browser-'));
const browser = await chromium.launch({
  executablePath: chromiumPath,
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
  ],
});

function report(name, locations) {
  const file = join(folder, `${name}.html`);
  const options = ['-o', file, '--at', '2026-03-02T12:00:00Z', '--quiet'];
  try {
    execFileSync(program, ['report', ...locations, ...options], { stdio: ['ignore', 'ignore', 'pipe'] });
  } catch (error) {
    // 3 means that some records could not be read, as hostile ones may not.
    if (error.status !== 3) throw error;
  }
  return pathToFileURL(file).href;
}

// Opens a page and writes down everything that it must not do.
async function open(url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  const faults = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) faults.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => faults.push(`error: ${error}`));
  page.on('dialog', (dialog) => { faults.push('dialog'); dialog.dismiss(); });
  page.on('request', (request) => { if (request.url() !== url) faults.push(`request: ${request.url()}`); });
  page.on('popup', () => faults.push('popup'));
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  await page.goto(url, { waitUntil: 'load' });
  return { page, faults, close: () => context.close() };
}

async function openAll(page) {
  await page.evaluate(() => { for (const part of document.querySelectorAll('details')) part.open = true; });
}

// What a visitor may do by accident: hover, click and focus everything.
async function disturb(page) {
  await page.evaluate(() => {
    for (const element of document.querySelectorAll('main *')) {
      element.dispatchEvent(new MouseEvent('mouseover', { bubbles: true }));
      element.dispatchEvent(new Event('toggle'));
      if (element.focus) element.focus();
    }
  });
}

async function assertQuiet({ page, faults }, name) {
  await page.waitForTimeout(300);
  assert.equal(await page.evaluate(() => window.ran), undefined, `${name}: something ran`);
  const foreign = await page.evaluate(() => [...document.querySelectorAll(
    'script, iframe, object, embed, img, link, base, form, button, math, style ~ style, meta[http-equiv=refresh], a:not([href^="#"])',
  )].map((element) => element.outerHTML.slice(0, 80)));
  assert.deepEqual(foreign, [], `${name}: elements that the templates do not have`);
  const handlers = await page.evaluate(() => [...document.querySelectorAll('*')].flatMap(
    (element) => [...element.attributes].filter((one) => one.name.startsWith('on') || one.name === 'style' || one.name === 'srcdoc').map((one) => one.name),
  ));
  assert.deepEqual(handlers, [], `${name}: attributes that act`);
  assert.deepEqual(faults, [], name);
}

const tests = {
  // Without this, the tests below could pass because nothing is ever seen.
  async 'a page that misbehaves is seen to'() {
    const file = join(folder, 'bad.html');
    writeFileSync(file, `<!doctype html><meta http-equiv="Content-Security-Policy" content="script-src 'none'">
      <title>x</title><img src="http://127.0.0.1:9/x"><script>window.ran=1</script>`);
    const opened = await open(pathToFileURL(file).href);
    await opened.page.waitForTimeout(300);
    for (const kind of ['console: policy: script-src', 'request: http://127.0.0.1:9/x']) {
      assert.ok(opened.faults.some((fault) => fault.startsWith(kind)), `${kind} is not in ${opened.faults}`);
    }
    await assert.rejects(assertQuiet(opened, 'bad'));
    await opened.close();
  },

  async 'a report runs, loads and breaks nothing'() {
    const opened = await open(report('dataset', ['datasets/firehose/recommended']));
    await openAll(opened.page);
    await assertQuiet(opened, 'dataset');
    await opened.close();
  },

  async 'hostile text in every logged field stays text'() {
    for (const [name, log] of [['json', hostileLog()], ['combined', hostileCombinedLog()]]) {
      const file = join(folder, `hostile-${name}.log`);
      writeFileSync(file, log.text);
      const opened = await open(report(`hostile-${name}`, [file]));
      const shown = await opened.page.locator('.offender').count();
      assert.ok(shown >= log.clients * 0.9, `${name}: only ${shown} of ${log.clients} clients are shown`);
      const visible = await opened.page.evaluate(() => document.body.textContent.includes('window.ran=1'));
      assert.ok(visible, `${name}: no payload is shown, so nothing was tried`);
      await openAll(opened.page);
      await disturb(opened.page);
      await assertQuiet(opened, name);
      await opened.close();
    }
  },

  async 'nothing hinders people with assistive tools'() {
    const url = report('axe', ['datasets/firehose/recommended']);
    for (const colorScheme of ['light', 'dark']) {
      for (const width of [390, 1440]) {
        // So high that all is laid out: what is not cannot be judged.
        const opened = await open(url, { colorScheme, viewport: { width, height: 30000 } });
        await openAll(opened.page);
        const { violations } = await opened.page.evaluate(`${axeSource}; axe.run()`);
        const found = violations.map((one) => `${one.impact} ${one.id}: ${one.nodes[0].html}`);
        assert.deepEqual(found, [], `${colorScheme}, ${width} px`);
        const overflow = await opened.page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(overflow <= width, `${width} px wide, but the page has ${overflow}`);
        await opened.close();
      }
    }
  },

  async 'the keyboard opens an offender and filters the list'() {
    const opened = await open(report('keys', ['datasets/firehose/recommended']));
    const { page } = opened;
    const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.closest('.offender')?.className || '');
    const reach = async (wanted) => {
      for (let steps = 0; steps < 60; steps += 1) {
        await page.keyboard.press('Tab');
        if (wanted(await focused())) return;
      }
      assert.fail('sixty steps did not reach it');
    };
    await reach((id) => id === 'show-all');
    const all = await page.locator('.offender:visible').count();
    await page.keyboard.press('ArrowRight');
    assert.equal(await focused(), 'show-critical');
    const critical = await page.locator('.offender:visible').count();
    assert.ok(critical > 0 && critical < all, `${critical} of ${all} are critical`);
    await reach((name) => name.startsWith('offender'));
    await page.keyboard.press('Enter');
    assert.ok(await page.locator('.offender[open] .rules').first().isVisible());
    await opened.close();
  },

  async 'ten thousand offenders open in seconds'() {
    const file = join(folder, 'crowd.log');
    writeFileSync(file, crowd(10_000));
    const url = report('crowd', [file]);
    const begun = performance.now();
    const opened = await open(url);
    await opened.page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    const seconds = (performance.now() - begun) / 1000;
    assert.equal(await opened.page.locator('.offender').count(), 10_000);
    console.log(`     10,000 offenders: ${seconds.toFixed(1)} s`);
    // Some seconds on an idle machine; tests share theirs with others.
    assert.ok(seconds < 30, `${seconds} s`);
    await assertQuiet(opened, 'crowd');
    await opened.close();
  },
};

let failed = 0;
for (const [name, test] of Object.entries(tests)) {
  try {
    await test();
    console.log(`ok   ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL ${name}\n${error.stack}`);
  }
}

if (screenshots) {
  const url = report('screenshot', ['datasets/firehose/recommended']);
  for (const [width, height, colorScheme] of [[1440, 1500, 'light'], [1440, 1500, 'dark'], [390, 1500, 'light'], [390, 1500, 'dark']]) {
    const opened = await open(url, { colorScheme, viewport: { width, height } });
    await opened.page.screenshot({ path: join(screenshots, `report-${width}-${colorScheme}.png`) });
    await opened.close();
  }
}
await browser.close();
rmSync(folder, { recursive: true, force: true });
process.exit(failed ? 1 : 0);

// The review in a real browser: one person, a keyboard, and hostile logs.
//
// Usage: see harness.mjs.

import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import assert from 'node:assert/strict';
import { crowd, hostileCombinedLog, hostileLog } from './corpus.mjs';
import * as harness from './harness.mjs';
import { assertUsable, disturb, folder, open, openAll, program, run, screenshots } from './harness.mjs';

const DATASET = 'datasets/firehose/recommended';
const AT = '2026-03-02T12:00:00Z';

// A page of the review has our script, our style sheets and our forms, and nothing else.
const foreign = [
  'script:not([src="/review.js"])', 'iframe', 'object', 'embed', 'img', 'base', 'math', 'style',
  'link:not([href="/report.css"], [href="/review.css"], [href="/mark.svg"])', 'meta[http-equiv=refresh]',
  'form:not([action^="/"], [method=dialog])', 'a:not([href^="#"], [href^="/"])', 'a[href^="//"]',
].join(', ');
const assertQuiet = (opened, name) => harness.assertQuiet(opened, name, foreign);

let reviews = 0;

// Starts a review and gives its address and its files.
async function review(locations, options = []) {
  reviews += 1;
  const files = { decisions: join(folder, `decisions-${reviews}.json`), plan: join(folder, `plan-${reviews}.json`) };
  const child = spawn(program, ['review', ...locations, '--at', AT, '--quiet', '--decisions', files.decisions, '--out', files.plan, ...options], { stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = new Promise((done) => child.once('exit', done));
  const url = await new Promise((done, failed) => {
    child.stdout.once('data', (text) => done(String(text).trim()));
    child.once('exit', (code) => failed(new Error(`the review ended with ${code}`)));
  });
  return { url, ...files, ended, stop: () => child.kill() };
}

async function enter(started, options) {
  const opened = await open(started.url, options);
  await opened.page.waitForSelector('#page');
  return opened;
}

// Waits until the page has answered what was asked of it.
const answered = (page) => page.waitForFunction(() => !document.querySelector('[aria-busy=true]'));

async function press(page, ...keys) {
  for (const key of keys) {
    await page.keyboard.press(key);
    await answered(page);
  }
}

const text = (page, selector) => page.locator(selector).first().innerText();

const tests = {
  async 'the key leaves the address, and without it nobody comes in'() {
    const started = await review([DATASET]);
    const opened = await enter(started);
    assert.ok(!opened.page.url().includes('#'), opened.page.url());
    const stranger = await open(new URL('/sources', started.url).href);
    assert.equal(await stranger.page.locator('#sources').count(), 0, 'a stranger sees the sources');
    const guess = await open(new URL('/#0123456789abcdef0123456789abcdef', started.url).href);
    await guess.page.waitForSelector('[role=alert]');
    assert.equal(await guess.page.locator('#sources').count(), 0, 'a guess sees the sources');
    for (const one of [opened, stranger, guess]) await one.close();
    started.stop();
  },

  async 'a whole review by keyboard alone, and its plan is one'() {
    const started = await review([DATASET]);
    const opened = await enter(started);
    const { page } = opened;
    const all = await page.locator('[data-row]').count();
    // Filter: a text, then everything again.
    await press(page, '/');
    await page.keyboard.type('sqlmap');
    await press(page, 'Enter');
    const filtered = await page.locator('[data-row]').count();
    assert.ok(filtered > 0 && filtered < all, `${filtered} of ${all}`);
    // Open the first, approve it with a note and a length.
    await press(page, 'Escape', 'j', 'Enter');
    const source = await text(page, 'h1');
    await press(page, 'n');
    await page.keyboard.type('same tool as <b>last</b> week');
    await press(page, 'Enter', 'Escape');
    await page.locator('#duration').focus();
    await page.keyboard.press('ArrowDown');
    await press(page, 'Escape', 'a');
    assert.equal(await page.locator('#approve').getAttribute('aria-pressed'), 'true');
    assert.equal(await page.locator('#note').inputValue(), 'same tool as <b>last</b> week');
    // Back to all, reject the first of them from the list.
    await press(page, 'l', '/');
    await page.keyboard.press('Control+A');
    await page.keyboard.press('Backspace');
    await press(page, 'Enter', 'Escape');
    const before = await text(page, '#sum');
    await press(page, 'j');
    const rejected = await page.evaluate(() => document.activeElement.textContent);
    await press(page, 'r');
    assert.equal(await page.evaluate(() => document.activeElement.textContent), rejected, 'focus stays on its row');
    assert.notEqual(await text(page, '#sum'), before, 'the plan has changed');
    assert.equal(await page.locator('#page').getAttribute('data-unsaved'), '2');
    // The plan, and saving.
    await press(page, 'v');
    assert.ok((await text(page, 'main')).includes('same tool as <b>last</b> week'));
    assert.ok(!existsSync(started.plan), 'nothing is written before it is saved');
    await press(page, 's');
    assert.equal(await page.locator('#page').getAttribute('data-unsaved'), '0');
    const decisions = JSON.parse(readFileSync(started.decisions)).decisions;
    assert.deepEqual(decisions.map((one) => [one.source.split('/')[0], one.decision]).sort(), [[source, 'approve'], [rejected, 'reject']].sort());
    assert.equal(decisions.find((one) => one.decision === 'approve').duration_seconds, 3600);
    const plan = JSON.parse(readFileSync(started.plan));
    const again = JSON.parse(execFileSync(program, ['plan', DATASET, '--at', AT, '--quiet', '-o', 'json', '--decisions', started.decisions]));
    assert.deepEqual(plan, again, 'the saved plan is the one that plan makes');
    await assertQuiet(opened, 'after the review');
    // Finish: the server ends.
    await page.locator('#finish').focus();
    await press(page, 'Enter');
    assert.equal(await started.ended, 0);
    await opened.close();
  },

  async 'the keys can be switched off, and are listed'() {
    const started = await review([DATASET]);
    const opened = await enter(started);
    const { page } = opened;
    await press(page, '?');
    assert.ok(await page.locator('#help').isVisible());
    await page.locator('#keys-on').press('Space');
    await press(page, 'Escape', 'v');
    assert.ok(page.url().endsWith('/sources'), page.url());
    await press(page, '?');
    await page.locator('#keys-on').press('Space');
    await press(page, 'Escape', 'v');
    assert.ok(page.url().endsWith('/plan'), page.url());
    await page.goBack();
    await page.waitForSelector('#sources');
    await assertQuiet(opened, 'keys');
    await opened.close();
    started.stop();
  },

  async 'closing with unsaved decisions warns, and only then'() {
    const started = await review([DATASET]);
    const opened = await enter(started);
    const { page } = opened;
    page.removeAllListeners('dialog');
    const asked = [];
    page.on('dialog', (dialog) => { asked.push(dialog.type()); dialog.dismiss(); });
    await press(page, 'j', 'a');
    await page.close({ runBeforeUnload: true });
    await page.waitForTimeout(500).catch(() => {});
    assert.deepEqual(asked, ['beforeunload']);
    await press(page, 's');
    await page.close({ runBeforeUnload: true });
    await new Promise((done) => setTimeout(done, 500));
    assert.ok(page.isClosed() && asked.length === 1, `${asked}`);
    await opened.close();
    started.stop();
  },

  async 'it works without script, by forms alone'() {
    const started = await review([DATASET]);
    const opened = await open(started.url, { javaScriptEnabled: false });
    const { page } = opened;
    await page.fill('#key', new URL(started.url).hash.slice(1));
    await page.click('button');
    await page.click('#approve-0');
    assert.equal(await page.locator('#approve-0').getAttribute('aria-pressed'), 'true');
    await page.click('.save button');
    assert.equal(JSON.parse(readFileSync(started.decisions)).decisions.length, 1);
    await opened.close();
    started.stop();
  },

  async 'an attack in every field runs, loads and moves nothing'() {
    for (const [name, log] of [['json', hostileLog()], ['combined', hostileCombinedLog()]]) {
      const file = join(folder, `${name}-review.log`);
      writeFileSync(file, log.text);
      const started = await review([file]);
      const opened = await enter(started);
      const { page } = opened;
      const addresses = [];
      for (;;) {
        addresses.push(...await page.locator('[data-row] th a').evaluateAll((links) => links.map((link) => link.href)));
        await disturb(page);
        const next = page.locator('#page-next');
        if (!await next.count()) break;
        await next.click();
        await answered(page);
      }
      assert.equal(addresses.length, log.clients, `${name}: not all clients are listed`);
      let shown = 0;
      for (const address of addresses) {
        await page.goto(address);
        await openAll(page);
        await disturb(page);
        shown += await page.evaluate(() => document.body.textContent.includes('window.ran=1'));
      }
      assert.ok(shown > 10, `${name}: ${shown} pages show a payload, so little was tried`);
      await assertQuiet(opened, name);
      await opened.close();
      started.stop();
    }
  },

  async 'nothing hinders people with assistive tools'() {
    const started = await review([DATASET]);
    for (const colorScheme of ['light', 'dark']) {
      for (const width of [390, 1440]) {
        const opened = await enter(started, { colorScheme, viewport: { width, height: 12000 } });
        const { page } = opened;
        await press(page, 'j', 'r');
        await assertUsable(page, `list, ${colorScheme}, ${width} px`, width);
        await press(page, 'j', 'Enter');
        await openAll(page);
        await assertUsable(page, `story, ${colorScheme}, ${width} px`, width);
        await press(page, 'v');
        await assertUsable(page, `plan, ${colorScheme}, ${width} px`, width);
        await press(page, 's', '?');
        await assertUsable(page, `help, ${colorScheme}, ${width} px`, width);
        await assertQuiet(opened, `${colorScheme}, ${width} px`);
        await opened.close();
      }
    }
    started.stop();
  },

  async 'ten thousand offenders are as quick as ten'() {
    const file = join(folder, 'crowd-review.log');
    writeFileSync(file, crowd(10_000));
    const started = await review([file]);
    const opened = await enter(started);
    const { page } = opened;
    assert.equal(await page.locator('[data-row]').count(), 50);
    const times = {};
    const timed = async (name, act) => {
      const begun = performance.now();
      await act();
      await answered(page);
      times[name] = Math.round(performance.now() - begun);
    };
    await timed('sorted', () => page.click('#by-last'));
    await timed('decided', () => page.click('[data-row] [data-key=a]'));
    await timed('opened', () => page.click('[data-row] th a'));
    await timed('planned', () => page.click('nav [data-key=v]'));
    console.log(`     10,000 offenders, ms: ${JSON.stringify(times)}`);
    // Tests share their machine with others.
    for (const [name, time] of Object.entries(times)) assert.ok(time < 20_000, `${name}: ${time} ms`);
    await assertQuiet(opened, 'crowd');
    await opened.close();
    started.stop();
  },
};

await run(tests, async () => {
  if (!screenshots) return;
  const started = await review([DATASET]);
  for (const [width, colorScheme] of [[1440, 'light'], [390, 'light'], [1440, 'dark']]) {
    const opened = await enter(started, { colorScheme, viewport: { width, height: 1000 } });
    const { page } = opened;
    if (await page.locator('[aria-pressed=true]').count() === 0) await press(page, 'j', 'a', 'j', 'r');
    await page.screenshot({ path: join(screenshots, `review-${width}-${colorScheme}.png`) });
    await press(page, 'j', 'j', 'Enter');
    await page.setViewportSize({ width, height: 1500 });
    await page.screenshot({ path: join(screenshots, `review-source-${width}-${colorScheme}.png`) });
    await opened.close();
  }
  started.stop();
});

// The report in a real browser: nothing runs, nothing loads, everybody can use it.
//
// Usage: see harness.mjs.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import assert from 'node:assert/strict';
import { crowd, hostileCombinedLog, hostileLog } from './corpus.mjs';
import * as harness from './harness.mjs';
import { assertUsable, disturb, folder, open, openAll, report, run, screenshots } from './harness.mjs';

// A report has one style sheet and nothing that acts.
const foreign = 'script, iframe, object, embed, img, link, base, form, button, math, style ~ style, meta[http-equiv=refresh], a:not([href^="#"])';
const assertQuiet = (opened, name) => harness.assertQuiet(opened, name, foreign);

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
        await assertUsable(opened.page, `${colorScheme}, ${width} px`, width);
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

await run(tests, async () => {
  if (screenshots) {
    const url = report('screenshot', ['datasets/firehose/recommended']);
    for (const [width, height, colorScheme] of [[1440, 1500, 'light'], [1440, 1500, 'dark'], [390, 1500, 'light'], [390, 1500, 'dark']]) {
      const opened = await open(url, { colorScheme, viewport: { width, height } });
      await opened.page.screenshot({ path: join(screenshots, `report-${width}-${colorScheme}.png`) });
      await opened.close();
    }
  }
});

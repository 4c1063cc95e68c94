// What the tests of all pages share: a browser, a program, and a page that is watched.
//
// Usage: node TESTS.mjs PROGRAM MODULES CHROMIUM [SCREENSHOTS]
// PROGRAM is the portcullis to test, MODULES the folder that holds node_modules. With
// SCREENSHOTS, pictures for the documentation are written to that folder.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import assert from 'node:assert/strict';

const [programPath, modules, chromiumPath, screenshotFolder] = process.argv.slice(2);
const require = createRequire(join(modules, 'package.json'));
const { chromium } = require('playwright-core');

export const program = programPath;
export const screenshots = screenshotFolder;
export const folder = mkdtempSync(join(tmpdir(), 'portcullis-browser-'));

const axeSource = require('axe-core').source;
const browser = await chromium.launch({
  executablePath: chromiumPath,
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
  ],
});

export function report(name, locations) {
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

// Opens a page and writes down everything that it must not do. It may load what is at its
// own origin, if it has one; a file may load nothing but itself.
export async function open(url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  const faults = [];
  const isOwn = (other) => (url.startsWith('file:') ? other === url : new URL(other).origin === new URL(url).origin);
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) faults.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => faults.push(`error: ${error}`));
  page.on('dialog', (dialog) => { faults.push('dialog'); dialog.dismiss(); });
  page.on('request', (request) => { if (!isOwn(request.url())) faults.push(`request: ${request.url()}`); });
  page.on('popup', () => faults.push('popup'));
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  await page.goto(url, { waitUntil: 'load' });
  return { page, faults, context, close: () => context.close() };
}

export async function openAll(page) {
  await page.evaluate(() => { for (const part of document.querySelectorAll('details')) part.open = true; });
}

// What a visitor may do by accident: hover and focus everything.
export async function disturb(page) {
  await page.evaluate(() => {
    for (const element of document.querySelectorAll('main *')) {
      element.dispatchEvent(new MouseEvent('mouseover', { bubbles: true }));
      element.dispatchEvent(new Event('toggle'));
      if (element.focus) element.focus();
    }
  });
}

// Nothing ran, nothing was loaded from elsewhere, and no element or attribute is there
// that acts and that the templates do not have.
export async function assertQuiet({ page, faults }, name, foreign) {
  await page.waitForTimeout(300);
  assert.equal(await page.evaluate(() => window.ran), undefined, `${name}: something ran`);
  const found = await page.evaluate((selector) => [...document.querySelectorAll(selector)].map((element) => element.outerHTML.slice(0, 80)), foreign);
  assert.deepEqual(found, [], `${name}: elements that the templates do not have`);
  const handlers = await page.evaluate(() => [...document.querySelectorAll('*')].flatMap(
    (element) => [...element.attributes].filter((one) => one.name.startsWith('on') || one.name === 'style' || one.name === 'srcdoc').map((one) => one.name),
  ));
  assert.deepEqual(handlers, [], `${name}: attributes that act`);
  assert.deepEqual(faults, [], name);
}

// Everything that axe-core finds, of whatever impact, and nothing is wider than the page.
export async function assertUsable(page, name, width) {
  const { violations } = await page.evaluate(`${axeSource}; axe.run()`);
  const found = violations.map((one) => `${one.impact} ${one.id}: ${one.nodes[0].html}`);
  assert.deepEqual(found, [], name);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(overflow <= width, `${name}: ${width} px wide, but the page has ${overflow}`);
  const cut = await page.evaluate(() => {
    const right = (element) => Math.floor(element.getBoundingClientRect().right);
    const scrolls = (element) => ['auto', 'scroll'].includes(getComputedStyle(element).overflowX);
    const tables = [...document.querySelectorAll('table')];
    const isCut = (table) => !scrolls(table.parentElement) && right(table) > right(table.parentElement);
    return tables.filter(isCut).map((table) => table.id || table.className);
  });
  assert.deepEqual(cut, [], `${name}: tables that are wider than what holds them`);
}

// Runs the tests one after the other, and `then` if there is more to do; ends the process.
export async function run(tests, then) {
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
  await then();
  await browser.close();
  rmSync(folder, { recursive: true, force: true });
  process.exit(failed ? 1 : 0);
}

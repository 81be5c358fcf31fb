// A small runner: tests share one Chromium, each has a page of its own.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

export const kChromium = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser'].find(
  (path) => path && existsSync(path),
);
const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const tests = [];
export function test(name, options, body) {
  tests.push({ name, options, body });
}

// Waits until a check stops failing. Slow machines only wait longer.
export async function eventually(check, what = '', limitMs = 20_000) {
  const end = Date.now() + limitMs;
  for (;;) {
    try {
      const value = await check();
      if (value !== false) return value;
    } catch (error) {
      if (Date.now() > end) throw error;
    }
    if (Date.now() > end) throw new Error(`waited in vain: ${what || check}`);
    await new Promise((done) => setTimeout(done, 40));
  }
}

export async function startProgram(program, args) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (data) => (errors = (errors + data).slice(-4000)));
  const url = await new Promise((done, failed) => {
    let text = '';
    child.stdout.on('data', (data) => {
      text += data;
      const line = /listening on (http:\S+)/.exec(text);
      if (line) done(line[1]);
    });
    child.on('exit', (code) => failed(new Error(`${program} ended with ${code}: ${errors}`)));
  });
  return {
    url: url.endsWith('/') ? url : `${url}/`,
    stop: () =>
      new Promise((done) => {
        if (child.exitCode !== null) return done(child.exitCode);
        child.removeAllListeners('exit');
        child.on('exit', (code) => done(code));
        return child.kill('SIGTERM');
      }),
  };
}

// The page of a test, with the words of the page's console and refusals of its policy.
async function openPage(browser, { dark = false, phone = false, locale = 'ko-KR' } = {}) {
  const context = await browser.newContext({
    viewport: phone ? { width: 390, height: 844 } : { width: 1280, height: 800 },
    hasTouch: phone, isMobile: phone, colorScheme: dark ? 'dark' : 'light', locale, acceptDownloads: true,
    reducedMotion: 'reduce', permissions: ['clipboard-read', 'clipboard-write'],
  });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) complaints.push(message.text());
  });
  await page.addInitScript(() =>
    document.addEventListener('securitypolicyviolation', (event) =>
      console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`)));
  page.complaints = complaints;
  return page;
}

// No violation of WCAG 2.2 AA or of axe's best practices in what the page shows now.
export async function axe(page, where) {
  await page.evaluate(axeSource); // through the debugger: the page's policy would refuse it
  const { violations } = await page.evaluate(() =>
    window.axe.run(document, {
      resultTypes: ['violations'],
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
    }));
  assert.deepEqual(
    violations.map(({ id, nodes }) => `${where}: ${id}: ${nodes.map((node) => `${node.target} ${node.failureSummary}`).join('; ')}`), []);
}

export async function runTests(only) {
  if (!kChromium) {
    console.log('skipped: no chromium');
    return { passed: 0, failed: 0, skipped: tests.length };
  }
  const browser = await chromium.launch({ executablePath: kChromium, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
  let passed = 0;
  let failed = 0;
  for (const { name, options, body } of tests) {
    if (only && !name.includes(only)) continue;
    const page = await openPage(browser, options);
    try {
      await body(page);
      if (!options.complaintsExpected) assert.deepEqual(page.complaints, []);
      console.log(`[       OK ] ${name}`);
      passed += 1;
    } catch (error) {
      console.log(`[  FAILED  ] ${name}\n${error.stack}`);
      await page.screenshot({ path: `/tmp/axk1-web-failed-${failed}.png` }).catch(() => {});
      failed += 1;
    }
    await page.context().close();
  }
  await browser.close();
  return { passed, failed, skipped: 0 };
}

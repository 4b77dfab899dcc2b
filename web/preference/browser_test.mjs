// Drives the preference page and the one to unsubscribe in a real browser. test/preference_page_test.go starts the server and runs
// this; by hand, with links of managePreferencesUrl and unsubscribeUrl:
//
//   npm ci && node preference/browser_test.mjs PREFERENCES UNSUBSCRIBE [--screenshots FOLDER]
//
// CHROMIUM names the browser's program (default /usr/bin/chromium). The user has e-mail and in-app messages to choose from, all on.
// Exits with 1 if anything is not as expected.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import axe from 'axe-core';
import { chromium } from 'playwright-core';

const { values, positionals } = parseArgs({ allowPositionals: true, options: { screenshots: { type: 'string' } } });
const [preferencesURL, unsubscribeURL] = positionals;
if (!unsubscribeURL) {
  console.error('usage: node browser_test.mjs PREFERENCES UNSUBSCRIBE [--screenshots FOLDER]');
  process.exit(2);
}
if (values.screenshots) mkdirSync(values.screenshots, { recursive: true });

const WAIT = 10_000; // ms
const DESKTOP = { width: 1280, height: 900 };
const PHONE = { width: 320, height: 640 };

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--no-first-run'],
});

let failed = false;
await check('the keyboard is enough', {}, keyboard);
await check('no JavaScript is needed', { javaScriptEnabled: false }, withoutScript);
await check('no JavaScript is needed to unsubscribe', { javaScriptEnabled: false }, unsubscribes);
for (const colorScheme of ['light', 'dark']) {
  for (const viewport of [PHONE, DESKTOP]) {
    await check(`${colorScheme}, ${viewport.width} pixels`, { colorScheme, viewport }, (page) => looksRight(page, `${colorScheme}-${viewport.width}`));
  }
}
await check('high contrast', { forcedColors: 'active' }, (page) => looksRight(page, 'high-contrast'));
await browser.close();
process.exit(failed ? 1 : 0);

async function check(name, options, run) {
  const context = await browser.newContext({ viewport: DESKTOP, reducedMotion: 'reduce', ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT);
  const complaints = watch(page);
  try {
    await run(page);
    assert.deepEqual(complaints, [], 'the browser complained');
    console.log(`ok    ${name}`);
  } catch (error) {
    failed = true;
    console.log(`FAIL  ${name}: ${error.message}`);
    for (const text of complaints) console.log(`      the browser: ${text}`);
    await shoot(page, `failed-${name}`);
  }
  await context.close();
}

// The switches of "All messages".
function everywhere(page) {
  return page.getByRole('group', { name: 'All messages' });
}

// From the address bar to a switch, off, to the button, saved, and the way back.
async function keyboard(page) {
  await open(page, preferencesURL);
  const email = everywhere(page).getByRole('switch', { name: 'Email' });
  await tabTo(page, email);
  assert.ok(await email.evaluate((e) => parseFloat(getComputedStyle(e).outlineWidth) >= 2 && getComputedStyle(e).outlineStyle !== 'none'), 'the focus can be seen');
  assert.equal(await email.isChecked(), true);
  await page.keyboard.press('Space');
  assert.equal(await email.isChecked(), false, 'the space bar switches');
  await tabTo(page, page.getByRole('button', { name: 'Save' }));
  await page.keyboard.press('Enter');
  const status = page.getByRole('status');
  await status.getByText('Saved').waitFor();
  assert.ok(await status.evaluate((e) => e === document.activeElement), 'the focus is at what happened');
  assert.equal(await email.isChecked(), false, 'it was saved');
  await page.reload();
  assert.equal(await email.isChecked(), false, 'it was stored');
  await open(page, preferencesURL);
  assert.equal(await email.isChecked(), false, 'it is there next time');
  assert.equal(await everywhere(page).getByRole('switch', { name: 'In the app' }).isChecked(), true, 'nothing else has changed');
  await tabTo(page, email);
  await page.keyboard.press('Space');
  await page.keyboard.press('Enter'); // sends the form, from wherever
  await status.waitFor();
  assert.equal(await email.isChecked(), true, 'and back');
}

async function tabTo(page, target) {
  for (let i = 0; i < 50; i++) {
    await page.keyboard.press('Tab');
    if (await target.evaluate((e) => e === document.activeElement)) {
      assert.ok(await target.evaluate((e) => {
        const box = e.getBoundingClientRect();
        const on = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
        return on === e || e.contains(on);
      }), 'what has the focus is hidden');
      return;
    }
  }
  throw new Error('the tab key does not lead there');
}

async function withoutScript(page) {
  await page.setViewportSize(PHONE);
  await open(page, preferencesURL);
  const news = page.getByRole('group', { name: 'Offers and news' }).getByRole('switch');
  await page.getByText('Send me these').click();
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Saved').waitFor();
  assert.equal(await news.isChecked(), false);
  await news.click();
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Saved').waitFor();
  assert.equal(await news.isChecked(), true);
}

async function unsubscribes(page) {
  await open(page, unsubscribeURL);
  await open(page, unsubscribeURL); // looking changes nothing
  await page.getByRole('heading', { name: 'Unsubscribe?' }).waitFor();
  await page.getByRole('button', { name: 'Unsubscribe' }).click();
  await page.getByRole('heading', { name: 'You are unsubscribed' }).waitFor();
  await page.getByRole('button', { name: 'Undo' }).click();
  await page.getByRole('heading', { name: 'You are subscribed again' }).waitFor();
}

async function looksRight(page, name) {
  await page.addInitScript(() => {
    window.shift = 0;
    new PerformanceObserver((list) => list.getEntries().forEach((entry) => { window.shift += entry.value; })).observe({ type: 'layout-shift', buffered: true });
  });
  for (const [what, url] of Object.entries({ preferences: preferencesURL, saved: `${preferencesURL}?saved=1`, unsubscribe: unsubscribeURL })) {
    await open(page, url);
    const { violations } = await page.evaluate(`${axe.source}; axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })`);
    assert.deepEqual(violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target.join(' ')).join(', ')}`), [], `${what} is not accessible`);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `${what} is ${overflow} pixels too wide`);
    const small = await page.evaluate(() => [...document.querySelectorAll('label, button')].filter((e) => e.getBoundingClientRect().height < 44).map((e) => e.textContent.trim()));
    assert.deepEqual(small, [], `${what} has targets too small for a finger`);
    assert.equal(await page.evaluate(() => window.shift), 0, `${what} moves while it loads`);
    await shoot(page, `${what}-${name}`);
  }
}

async function open(page, url) {
  const response = await page.goto(url);
  assert.equal(response.status(), 200);
  assert.equal(await page.locator('html').getAttribute('lang'), 'en');
}

// watch collects what must never happen: errors, policy violations, and requests to any other host.
function watch(page) {
  const complaints = [];
  const host = new URL(preferencesURL).host;
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => message.type() === 'error' && !message.text().includes('favicon') && complaints.push(message.text()));
  page.on('request', (request) => {
    if (new URL(request.url()).host !== host) complaints.push(`request to ${new URL(request.url()).host}`);
    if (request.headers().referer) complaints.push('the address was told as a referrer');
  });
  return complaints;
}

async function shoot(page, name) {
  if (values.screenshots) await page.screenshot({ path: join(values.screenshots, `${name.replaceAll(/[^\w-]+/g, '-')}.png`) });
}

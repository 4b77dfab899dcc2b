// Drives the demo and GraphiQL of a running server in a real browser:
//
//   npm ci && node browser_test.mjs http://localhost:8080/demo/ [--graphiql URL] [--screenshots FOLDER]
//
// CHROMIUM names the browser's program (default /usr/bin/chromium). Exits with 1 if anything is not as expected.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { graphiql: { type: 'string' }, screenshots: { type: 'string' } },
});
const demoURL = positionals[0];
if (!demoURL) {
  console.error('usage: node browser_test.mjs <URL of the demo> [--graphiql URL] [--screenshots FOLDER]');
  process.exit(2);
}
const graphiqlURL = values.graphiql ?? new URL('/graphiql/', demoURL).href;
if (values.screenshots) mkdirSync(values.screenshots, { recursive: true });

const WAIT = 10_000; // ms

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--no-first-run'],
});

let failed = false;
for (const check of [marksTravel, offlineDeviceCatchesUp, otherUserHasTheirOwnFeed, keyboardReachesTheMenu, fitsEveryScreen, graphiqlSpeaks]) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 1000 } });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT);
  const complaints = watch(page);
  try {
    await check(page);
    assert.deepEqual(complaints, [], 'the browser complained');
    console.log(`ok    ${check.name}`);
  } catch (error) {
    failed = true;
    console.log(`FAIL  ${check.name}: ${error.message}`);
    for (const text of complaints) console.log(`      the browser: ${text}`);
    await shoot(page, `failed-${check.name}`);
  }
  await context.close();
}
await browser.close();
process.exit(failed ? 1 : 0);

async function marksTravel(page) {
  await openDemo(page);
  const [before, phoneBefore] = [await unread(page, 'laptop'), await unread(page, 'phone')];
  assert.equal(before, phoneBefore, 'two devices of one user show different badges');
  await page.click('#send');
  await untilUnread(page, 'laptop', before + 1);
  await untilUnread(page, 'phone', before + 1);
  await page.waitForFunction(() => document.querySelectorAll('.timing__value').length === 3
    && [...document.querySelectorAll('.timing__value')].every((value) => value.textContent.endsWith('ms')));
  console.log(`      ${(await page.locator('#timing dl').innerText()).replace(/\s+/g, ' ')}`);
  const id = await newest(page, 'laptop').getAttribute('data-id');
  assert.equal(await newest(page, 'phone').getAttribute('data-id'), id, 'the devices show different items first');
  await page.waitForTimeout(500); // for the picture only: animations
  await shoot(page, 'desktop-light');
  await newest(page, 'laptop').locator('.item__open').click({ position: { x: 120, y: 14 } });
  await untilUnread(page, 'phone', before);
  await untilUnread(page, 'laptop', before);
  await page.waitForSelector(`[data-device=phone] .item[data-id="${id}"]:not(.is-unread)`);
}

async function offlineDeviceCatchesUp(page) {
  await page.emulateMedia({ colorScheme: 'dark' });
  await openDemo(page);
  const before = await unread(page, 'phone');
  await page.click('[data-device=phone] .device__plug');
  await page.waitForSelector('[data-device=phone] .state[data-state=off]');
  for (let sent = 1; sent <= 3; sent++) {
    await page.click('#send');
    await untilUnread(page, 'laptop', before + sent);
  }
  assert.equal(await unread(page, 'phone'), before, 'an offline device heard something');
  await page.waitForTimeout(400); // for the picture only: animations
  await shoot(page, 'desktop-dark');
  await page.click('[data-device=phone] .device__plug');
  await untilUnread(page, 'phone', before + 3);
  await page.click('[data-device=phone] .mark-all');
  await untilUnread(page, 'laptop', 0);
  await untilUnread(page, 'phone', 0);
}

async function otherUserHasTheirOwnFeed(page) {
  await openDemo(page);
  const users = page.locator('#users input');
  if (await users.count() < 2) return;
  await page.locator('#users label').nth(1).click();
  await untilLive(page);
  const before = await unread(page, 'laptop');
  await page.click('#send');
  await untilUnread(page, 'laptop', before + 1);
  await untilUnread(page, 'phone', before + 1);
}

async function keyboardReachesTheMenu(page) {
  await openDemo(page);
  const before = await unread(page, 'phone');
  await page.click('#send');
  await untilUnread(page, 'phone', before + 1);
  await untilUnread(page, 'laptop', before + 1);
  await newest(page, 'laptop').locator('.item__more').focus();
  await page.keyboard.press('Enter');
  await page.waitForSelector('#item-menu:popover-open');
  await shoot(page, 'menu');
  await page.keyboard.press('ArrowUp'); // from the first entry to the last: archive
  const id = await newest(page, 'laptop').getAttribute('data-id');
  await page.keyboard.press('Enter');
  await untilUnread(page, 'phone', before);
  await page.waitForSelector(`.item[data-id="${id}"]`, { state: 'detached' });
}

async function fitsEveryScreen(page) {
  for (const width of [390, 768, 1024, 1440]) {
    await page.setViewportSize({ width, height: 844 });
    await openDemo(page);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `at ${width} pixels the page is ${overflow} pixels too wide`);
    await shoot(page, `width-${width}`, true);
  }
}

async function graphiqlSpeaks(page) {
  await page.goto(graphiqlURL);
  await page.waitForSelector('.graphiql-query-editor .CodeMirror');
  const tabs = page.locator('.graphiql-tab');
  assert.equal(await tabs.count(), 3, 'GraphiQL begins with three tabs');
  await page.click('.graphiql-execute-button');
  await page.locator('.result-window').getByText('acceptedAt').waitFor();
  await tabs.nth(2).click();
  await page.click('.graphiql-execute-button');
  await page.locator('.result-window').getByText('FeedSynced').waitFor();
  await shoot(page, 'graphiql');
  await page.click('.graphiql-execute-button'); // stops it
  await tabs.nth(1).click();
  await page.click('.graphiql-execute-button');
  await page.locator('.result-window').getByText('pageInfo').waitFor();
}

// watch collects what must never happen: errors, policy violations, and requests to any other host.
function watch(page) {
  const complaints = [];
  const complain = (text) => complaints.includes(text.slice(0, 300)) || complaints.push(text.slice(0, 300));
  const host = new URL(demoURL).host;
  page.on('pageerror', (error) => complain(error.message));
  page.on('console', (message) => message.type() === 'error' && complain(message.text()));
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (['http:', 'https:', 'ws:', 'wss:'].includes(url.protocol) && url.host !== host) complain(`request to ${url.host}`);
  });
  return complaints;
}

async function openDemo(page) {
  await page.goto(demoURL);
  await untilLive(page);
}

async function untilLive(page) {
  for (const device of ['laptop', 'phone']) await page.waitForSelector(`[data-device=${device}] .state[data-state=live]`);
}

async function unread(page, device) {
  return Number(await page.locator(`[data-device=${device}] [data-figure=unread] b`).innerText());
}

async function untilUnread(page, device, want) {
  await page.waitForFunction(([name, count]) => {
    const frame = document.querySelector(`[data-device=${name}]`);
    const badge = frame.querySelector('.bell__badge');
    const shown = badge.hidden ? 0 : badge.textContent;
    return frame.querySelector('[data-figure=unread] b').textContent === String(count)
      && String(shown) === (count > 99 ? '99+' : String(count));
  }, [device, want]).catch(async () => {
    throw new Error(`the ${device} shows ${await unread(page, device)} unread, want ${want}`);
  });
}

function newest(page, device) {
  return page.locator(`[data-device=${device}] .item`).first();
}

async function shoot(page, name, fullPage = false) {
  if (values.screenshots) await page.screenshot({ path: join(values.screenshots, `${name}.png`), fullPage });
}

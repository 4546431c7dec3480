// Opens the page in Debian's chromium, plays a title and says how it went, as one line of JSON.
//
//   node tests/scenarios/browser/play.mjs URL [--title ID] [--seconds N] [--screenshot FILE] [--timeout S]
//
// Exit code 0: it played for as long as asked and the browser's console has no error.

import { createRequire } from "node:module";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const require = createRequire(new URL("../../../control_services/web/package.json", import.meta.url));
const { chromium } = require("playwright-core");

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
  "--autoplay-policy=no-user-gesture-required",
];

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    title: { type: "string" },
    seconds: { type: "string", default: "5" },
    screenshot: { type: "string" },
    timeout: { type: "string", default: "90" },
  },
});
const [url] = positionals;
const seconds = Number(options.seconds);
const timeoutMs = Number(options.timeout) * 1000;
if (url === undefined || !(seconds > 0) || !(timeoutMs > 0)) {
  console.error("usage: play.mjs URL [--title ID] [--seconds N] [--screenshot FILE] [--timeout S]");
  process.exit(2);
}

const errors = [];
const profile = await mkdtemp(join(tmpdir(), "sluice-browser-"));
const report = { advanced_s: 0, errors, appliances: [], bytes: {}, failovers: 0, title: "", height: 0 };
let context;
try {
  context = await chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM,
    headless: true,
    args: ARGUMENTS,
    viewport: { width: 1280, height: 900 },
  });
  const page = await context.newPage();
  page.on("console", (message) => {
    if (message.type() === "error") {
      errors.push(`console: ${message.text()} (${message.location().url})`);
    }
  });
  page.on("pageerror", (error) => errors.push(`page: ${error.message}`));
  page.setDefaultTimeout(timeoutMs);
  await play(page);
} catch (error) {
  errors.push(`play.mjs: ${error.message.split("\n")[0]}`);
} finally {
  await context?.close();
  await rm(profile, { recursive: true, force: true, maxRetries: 3 });
}
console.log(JSON.stringify(report));
process.exit(report.advanced_s >= seconds && errors.length === 0 ? 0 : 1);

async function play(page) {
  await page.goto(url);
  const wanted = options.title === undefined ? '^="title-"' : `="title-${options.title}"`;
  await page.locator(`button[data-testid${wanted}]:enabled`).first().click();
  const video = page.getByTestId("player");
  await video.waitFor();
  try {
    // From the first picture on: what came before is start-up, and not playing.
    const from = await page.waitForFunction(
      () => {
        const element = document.querySelector('[data-testid="player"]');
        return element.readyState >= 2 && element.currentTime > 0 ? element.currentTime : null;
      },
      undefined,
      { timeout: timeoutMs },
    );
    const began = await from.jsonValue();
    await page.waitForFunction(
      ([start, wanted]) => document.querySelector('[data-testid="player"]').currentTime - start >= wanted,
      [began, seconds],
      { timeout: timeoutMs },
    );
    report.advanced_s = (await video.evaluate((element) => element.currentTime)) - began;
  } finally {
    const trouble = page.getByTestId("trouble");
    if ((await trouble.count()) > 0) {
      errors.push(`said to the viewer: ${await trouble.innerText()}`);
    }
    if (options.screenshot !== undefined) {
      await page.screenshot({ path: options.screenshot });
    }
    report.title = await page.getByTestId("title").innerText();
    report.bytes = JSON.parse(await video.getAttribute("data-appliances"));
    report.appliances = Object.keys(report.bytes);
    report.failovers = Number(await video.getAttribute("data-failovers"));
    report.height = Number(await video.getAttribute("data-height"));
  }
}

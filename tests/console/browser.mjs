// Headless Chromium for the console's journeys: pages, screenshots, and the run of a list of journeys.
// Screenshots go to tests/artifacts/console. Any error or warning in the browser's log fails the run.

import { createRequire } from "node:module";
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const { chromium } = createRequire(join(here, "../../console/package.json"))("playwright-core");
/** The node's address. */
export const base = process.argv[2];
export const shots = join(here, "../artifacts/console");
mkdirSync(shots, { recursive: true });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"],
});
const complaints = [];
/** The browser logs every answer that refuses; that a node gives no promises, or refuses one, a snapshot or a quota, is no fault of the console. */
const excused = (message) => /\/api\/v1\/(playbacks(\/\d+)?|snapshots|quotas)$/.test(message.location().url);

/** A page of the console; `prepare` is called with it before it is loaded. */
export async function open(path, viewport = { width: 1280, height: 800 }, more = {}, prepare = async () => {}) {
  const context = await browser.newContext({ viewport, acceptDownloads: true, ...more });
  const page = await context.newPage();
  page.on("console", (m) => ["error", "warning"].includes(m.type()) && !excused(m) && complaints.push(`${path}: ${m.text()}`));
  page.on("pageerror", (e) => complaints.push(`${path}: ${e}`));
  await prepare(page);
  await page.goto(`${base}/${path}`);
  return page;
}

/** `whole`: also what is below the window's edge. */
export const shot = (page, name, whole = false) => page.screenshot({ path: join(shots, `${name}.png`), fullPage: whole });
/** The time beside the buttons, milliseconds since the epoch. */
export const frameTime = async (page) => Date.parse((await page.locator(".when").textContent()).replace(" ", "T"));
export const spansOf = async (name) => (await fetch(`${base}/api/v1/streams${name}/recordings`)).json();
export const phone = { viewport: { width: 390, height: 844 }, more: { hasTouch: true, isMobile: true, deviceScaleFactor: 2 } };

/** Runs journeys by name, each in a page of its own, and ends the process; `only` in the arguments picks by part of the name. */
export async function run(journeys) {
  const only = process.argv[3] ?? "";
  let failed = 0;
  for (const [name, journey] of Object.entries(journeys)) {
    if (!name.includes(only)) continue;
    try {
      const page = await journey();
      await page.context().close();
      console.log(`ok   ${name}`);
    } catch (error) {
      failed++;
      console.log(`FAIL ${name}: ${error.stack ?? error}`);
      for (const context of browser.contexts()) {
        for (const page of context.pages()) await shot(page, `failed-${failed}`).catch(() => undefined);
        await context.close();
      }
    }
  }
  await browser.close();
  for (const complaint of complaints) console.log(`the browser complained: ${complaint}`);
  process.exit(failed || complaints.length ? 1 : 0);
}

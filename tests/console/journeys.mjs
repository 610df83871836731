// The console's journeys in headless Chromium against a running node: `node journeys.mjs BASE_URL`.
// The node must run its test cameras and hold /cam/door: live, with two spans. Screenshots go to
// tests/artifacts/console. Any error or warning in the browser's log fails the run.

import { createRequire } from "node:module";
import { mkdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import assert from "node:assert/strict";

const here = dirname(fileURLToPath(import.meta.url));
const { chromium } = createRequire(join(here, "../../console/package.json"))("playwright-core");
const base = process.argv[2];
const shots = join(here, "../artifacts/console");
mkdirSync(shots, { recursive: true });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"],
});
const complaints = [];

async function open(path, viewport = { width: 1280, height: 800 }, more = {}, prepare = async () => {}) {
  const context = await browser.newContext({ viewport, acceptDownloads: true, ...more });
  const page = await context.newPage();
  page.on("console", (m) => ["error", "warning"].includes(m.type()) && complaints.push(`${path}: ${m.text()}`));
  page.on("pageerror", (e) => complaints.push(`${path}: ${e}`));
  await prepare(page);
  await page.goto(`${base}/${path}`);
  return page;
}

const shot = (page, name) => page.screenshot({ path: join(shots, `${name}.png`) });
/** Decoded frames move on: the picture plays. */
const plays = (page) =>
  page.waitForFunction(() => {
    const v = document.querySelector("video");
    if (!v || v.readyState < 2 || v.videoWidth === 0) return false;
    const first = (v.dataset.t0 ??= String(v.currentTime));
    return v.currentTime > Number(first) + 0.5;
  }, null, { timeout: 20_000 });
const frameTime = async (page) => Date.parse((await page.locator(".when").textContent()).replace(" ", "T"));
const spansOf = async (name) => (await fetch(`${base}/api/v1/streams${name}/recordings`)).json();

const phone = { viewport: { width: 390, height: 844 }, more: { hasTouch: true, isMobile: true, deviceScaleFactor: 2 } };

const journeys = {
  async "watch all streams live"() {
    const page = await open("#/");
    await page.waitForFunction(() => document.querySelectorAll(".card").length >= 3);
    await page.waitForFunction(() => [...document.querySelectorAll("video")].filter((v) => v.videoWidth > 0 && v.currentTime > 0).length >= 2, null, { timeout: 20_000 });
    await page.waitForFunction(() => [...document.querySelectorAll("img")].some((i) => i.naturalWidth > 0), null, { timeout: 20_000 });
    await shot(page, "streams");
    return page;
  },
  async "watch one stream live, with its frames' time"() {
    const page = await open("#/stream/cam/door");
    await plays(page);
    assert.ok(Math.abs((await frameTime(page)) - Date.now()) < 6_000, "live is near now");
    await shot(page, "live");
    return page;
  },
  async "seek on the timeline, across the gap"() {
    const page = await open("#/stream/cam/door");
    await plays(page);
    const spans = await spansOf("/cam/door");
    assert.equal(spans.length, 2);
    await page.evaluate(() => document.querySelector(".timeline").focus());
    for (let i = 0; i < 5; i++) await page.keyboard.press("+");
    await page.waitForTimeout(500);
    const box = await page.locator(".timeline").boundingBox();
    await page.keyboard.press("Home");
    await plays(page);
    assert.ok(Math.abs((await frameTime(page)) - Date.parse(spans[0].start)) < 5_000, "home is the oldest");
    await shot(page, "recorded");
    await page.waitForFunction((t) => Date.parse(document.querySelector(".when").textContent.replace(" ", "T")) > t, Date.parse(spans[1].start), { timeout: 30_000 });
    await shot(page, "across-the-gap");
    await page.mouse.click(box.x + box.width * 0.85, box.y + 30);
    await page.waitForTimeout(1500);
    await plays(page);
    await shot(page, "seek");
    await page.keyboard.press("l");
    await plays(page);
    return page;
  },
  async "export a selection"() {
    const page = await open("#/stream/cam/door");
    await plays(page);
    await page.keyboard.press("Home");
    await page.waitForTimeout(2500);
    await page.keyboard.press("i");
    const waiting = page.waitForEvent("download", { timeout: 30_000 });
    await page.getByRole("button", { name: "Export MP4" }).click();
    const download = await waiting;
    const file = join(shots, "export.mp4");
    await download.saveAs(file);
    assert.ok(statSync(file).size > 50_000, "an MP4 with something in it");
    await shot(page, "export");
    return page;
  },
  async "look at the store"() {
    const page = await open("#/store");
    await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 5);
    await page.waitForTimeout(5000);
    await shot(page, "store");
    return page;
  },
  async "add and remove a source by keyboard"() {
    const page = await open("#/sources");
    await page.getByLabel("Name").fill("/cam/nowhere");
    await page.getByLabel("URL").fill("rtsp://127.0.0.1:9/x");
    await page.keyboard.press("Enter");
    await page.getByText("/cam/nowhere").first().waitFor();
    await shot(page, "sources");
    page.on("dialog", (d) => d.accept());
    await page.getByRole("button", { name: "Remove" }).click();
    await page.waitForFunction(() => !document.querySelector("tbody").textContent.includes("/cam/nowhere"));
    return page;
  },
  async "read over the picture why it stands still"() {
    let tell;
    const listen = (page) => page.routeWebSocket(/\/live$/, (socket) => {
      socket.connectToServer();
      tell = (message) => socket.send(JSON.stringify(message));
    });
    const page = await open("#/stream/cam/door", phone.viewport, phone.more, listen);
    await plays(page);
    const [from, to] = [0, 2400].map((ms) => new Date(ms).toISOString());
    tell({ missed: { units: 60, from, to } });
    await page.getByText("Missed 2.4 s: this connection is too slow.").waitFor();
    tell({ idle: true });
    const note = page.getByRole("status").filter({ hasText: "Waiting for the camera." });
    await note.waitFor();
    const [box, screen] = [await note.boundingBox(), await page.locator(".screen").boundingBox()];
    assert.ok(box.x >= screen.x && box.x + box.width <= screen.x + screen.width, "inside the picture");
    assert.ok(box.y >= screen.y && box.y + box.height <= screen.y + screen.height, "inside the picture");
    await shot(page, "notice");
    return page;
  },
  async "read it on a phone"() {
    const page = await open("#/stream/cam/door", phone.viewport, phone.more);
    await plays(page);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `${overflow} pixels too wide`);
    await shot(page, "phone");
    return page;
  },
};

let failed = 0;
for (const [name, journey] of Object.entries(journeys)) {
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

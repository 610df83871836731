// The console's journeys in headless Chromium against a running node: `node journeys.mjs BASE_URL`.
// The node must run its test cameras and hold /cam/door: live, with two spans.

import { statSync } from "node:fs";
import { join } from "node:path";
import assert from "node:assert/strict";
import { frameTime, open, phone, run, shot, shots, spansOf } from "./browser.mjs";

/** Pictures move on, live or recorded: the time beside the buttons does. */
async function plays(page) {
  await page.waitForTimeout(100);
  await page.waitForFunction(() => {
    const v = document.querySelector("video");
    return document.querySelector(".when").textContent.length > 12 && (!v || (v.readyState >= 2 && v.videoWidth > 0));
  }, null, { timeout: 20_000 });
  const begin = await frameTime(page);
  await page.waitForFunction((t) => Date.parse(document.querySelector(".when").textContent.replace(" ", "T")) > t + 500, begin, { timeout: 20_000 });
}

const journeys = {
  async "watch all streams live"() {
    const page = await open("#/");
    await page.waitForFunction(() => document.querySelectorAll(".card").length >= 3);
    await page.waitForFunction(() => [...document.querySelectorAll("video")].filter((v) => v.videoWidth > 0 && v.currentTime > 0.5).length >= 2, null, { timeout: 20_000 });
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
    await page.keyboard.press("n");
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
    await page.waitForFunction(() => document.querySelectorAll(".disks tbody tr").length === 5);
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

await run(journeys);

// Journeys of recordings under the buttons of a video recorder, alone and nine on one clock:
// `node angles.mjs BASE_URL`. The node must hold /yard/1 to /yard/9: 25 frames a second, a key picture each
// second, every frame with its number in twelve blocks of black and white at the top, least bit first, a block
// 1/30 of the width; the recording begins with number 0. /yard/9 ends earlier than the others.

import assert from "node:assert/strict";
import { frameTime, open, phone, run, shot, spansOf } from "./browser.mjs";

const NAMES = Array.from({ length: 9 }, (_, i) => `/yard/${i + 1}`);
const FRAME_MS = 40;
const spans = Object.fromEntries(await Promise.all(NAMES.map(async (name) => [name, (await spansOf(name))[0]])));
const start = (name) => Date.parse(spans[name].start);
const begin = Math.max(...NAMES.map(start));
const group = (at, names = NAMES) => `#/group?${names.map((n) => `s=${n}`).join("&")}&at=${new Date(at).toISOString()}`;

/** What each angle shows: its stream, the capture time told, and the number seen in the picture. */
const angles = (page) => page.evaluate(() => [...document.querySelectorAll(".angle")].map((angle) => {
  const canvas = angle.querySelector("canvas");
  const blocks = new OffscreenCanvas(30, 1).getContext("2d", { willReadFrequently: true });
  blocks.drawImage(canvas, 0, canvas.height * 0.02, canvas.width, canvas.height * 0.02, 0, 0, 30, 1);
  const line = blocks.getImageData(0, 0, 30, 1).data;
  let number = 0;
  for (let bit = 0; bit < 12; bit++) if (line[4 * bit] > 128) number |= 1 << bit;
  return { name: canvas.getAttribute("aria-label").split(" ").pop(), time: Number(angle.dataset.frame ?? NaN), number, note: angle.querySelector(".note").textContent };
}));
/** The picture is the one that was captured when it is said to be: numbers count frames from the beginning. */
const assertTrue = (angle) => assert.equal(angle.number, Math.round((angle.time - start(angle.name)) / FRAME_MS), `${angle.name} shows another frame than it says`);
const allShown = (page, count = 9) => page.waitForFunction((n) => document.querySelectorAll(".angle[data-frame]:not(.none, .behind)").length >= n, count, { timeout: 30_000 });
const instant = (page) => page.evaluate(() => Number(document.querySelector(".deck").dataset.instant));
const settle = (page) => page.waitForTimeout(600);

/** Whoever was late when all were stopped arrives. */
const inStep = (page) => page.waitForFunction((most) => {
  const times = [...document.querySelectorAll(".angle")].map((angle) => Number(angle.dataset.frame));
  return Math.max(...times) - Math.min(...times) <= most;
}, FRAME_MS + 1, { timeout: 10_000 });

/** From now on keeps the time of every frame that the first angle shows; the function gives and forgets them. */
async function watch(page) {
  await page.evaluate(() => {
    const angle = document.querySelector(".angle");
    window.seen = [];
    new MutationObserver(() => window.seen.push(Number(angle.dataset.frame))).observe(angle, { attributeFilter: ["data-frame"] });
  });
  return () => page.evaluate(() => window.seen.splice(0));
}
const steps = (times) => times.slice(1).map((t, i) => Math.round((t - times[i]) * 10) / 10);

/** One recording, paused on a frame in the middle. */
async function recording(name, prepare) {
  const page = await open(`#/stream${name}`, undefined, {}, prepare);
  await page.waitForSelector(".angle[data-frame]");
  await page.keyboard.press("End");
  await page.keyboard.press("k");
  await settle(page);
  return page;
}

/** What the node says when its disks have no time for a playback. */
const REASON = "the disks have no time to play";

/** Has others play until the node refuses another; the function sends them away. */
async function fill() {
  const api = new URL("/api/v1/playbacks", process.argv[2]);
  const taken = [];
  for (;;) {
    const asked = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ streams: ["/yard/1"] }) };
    const answer = await fetch(api, asked);
    if (answer.status === 503) break;
    assert.equal(answer.status, 201, "it is promised or refused");
    taken.push((await answer.json()).id);
    assert.ok(taken.length < 500, "nothing is ever refused");
  }
  // What is left does not suffice for one more at normal speed; perhaps for one that plays already to be twice as fast.
  for (const id of taken) {
    const faster = { method: "PATCH", headers: { "content-type": "application/json" }, body: JSON.stringify({ scale: 2 }) };
    if ((await fetch(`${api}/${id}`, faster)).status === 503) break;
  }
  return () => Promise.all(taken.splice(0).map((id) => fetch(`${api}/${id}`, { method: "DELETE" })));
}

const journeys = {
  async "tick nine streams and watch them on one clock"() {
    const page = await open("#/");
    for (const name of NAMES) await page.getByLabel(`Choose ${name} to`).check();
    await shot(page, "angles-chosen");
    await page.getByText("Watch together").click();
    await allShown(page, 8);
    await page.keyboard.press("Home");
    await page.waitForTimeout(1500);
    await allShown(page);
    const before = await instant(page);
    await page.waitForTimeout(2000);
    const ran = (await instant(page)) - before;
    assert.ok(ran > 1500 && ran < 2600, `two seconds play in two seconds, not ${ran} ms`);
    await page.keyboard.press("k");
    await settle(page);
    await inStep(page);
    const shown = await angles(page);
    shown.forEach(assertTrue);
    const times = shown.map((a) => a.time);
    assert.ok(Math.max(...times) - Math.min(...times) <= FRAME_MS + 1, `all within one frame: ${times}`);
    assert.match(await page.locator(".spread").textContent(), /^9 angles within \d+ ms$/);
    await shot(page, "angles");
    return page;
  },
  async "see all angles go backwards, and step by frames"() {
    const page = await open(group(begin + 6000));
    await allShown(page);
    await page.keyboard.press("j");
    await page.waitForTimeout(2500);
    await shot(page, "angles-reverse");
    await page.keyboard.press("k");
    await settle(page);
    assert.ok((await instant(page)) < begin + 5200, "it went backwards");
    for (const key of [",", ",", "."]) {
      const [first] = await angles(page);
      await page.keyboard.press(key);
      await settle(page);
      const shown = await angles(page);
      assert.ok(Math.abs(shown[0].time - first.time - (key === "," ? -FRAME_MS : FRAME_MS)) < 1, "the chosen angle goes by one frame");
      shown.forEach(assertTrue);
      const times = shown.map((a) => a.time);
      assert.ok(Math.max(...times) - Math.min(...times) <= FRAME_MS + 1, `all within one frame: ${times}`);
    }
    return page;
  },
  async "look at one angle large, while all keep to the clock"() {
    const page = await open(group(begin + 4000));
    await allShown(page);
    const [angle, deck] = [page.locator(".angle").nth(4), page.locator(".deck")];
    await angle.dblclick();
    await page.waitForTimeout(1500);
    assert.deepEqual(await angle.boundingBox(), await deck.boundingBox());
    await shot(page, "angle-large");
    await page.keyboard.press("k");
    await settle(page);
    (await angles(page)).forEach(assertTrue);
    await page.keyboard.press("f");
    assert.ok((await angle.boundingBox()).width < (await deck.boundingBox()).width / 2);
    return page;
  },
  async "see the others go on while one angle is late, and it catch up"() {
    let slow = true;
    const page = await open(group(begin + 1000), undefined, {}, (page) =>
      page.route(/yard\/3\/media\.mp4/, async (route) => {
        if (slow) await new Promise((done) => setTimeout(done, 4000));
        await route.continue().catch(() => undefined);
      }));
    await allShown(page, 8);
    await page.getByText("Catching up", { exact: true }).waitFor();
    const before = await instant(page);
    await page.waitForTimeout(1000);
    assert.ok((await instant(page)) - before > 700, "the others go on");
    assert.match(await page.locator(".spread").textContent(), /^8 angles within \d+ ms, 1 catching up$/);
    await shot(page, "angles-late");
    slow = false;
    await allShown(page);
    return page;
  },
  async "read which angle has nothing recorded then"() {
    const page = await open(group(Date.parse(spans["/yard/9"].end) + 1500));
    await allShown(page, 8);
    await page.keyboard.press("k");
    await settle(page);
    const shown = await angles(page);
    assert.equal(shown[8].note, "Nothing recorded then");
    assert.equal(shown.filter((a) => a.note === "").length, 8);
    await shot(page, "angles-nothing");
    return page;
  },
  async "play a recording exactly backwards"() {
    const page = await recording("/yard/1");
    const seen = await watch(page);
    await page.keyboard.press("j");
    await page.waitForFunction(() => window.seen.length > 80, null, { timeout: 20_000 });
    await shot(page, "reverse");
    await page.keyboard.press("k");
    const went = steps(await seen());
    assert.ok(went.slice(0, 75).every((ms) => Math.abs(ms + FRAME_MS) < 1), `each frame is the one before: ${went}`);
    await settle(page);
    (await angles(page)).forEach(assertTrue);
    return page;
  },
  async "step a frame at a time over the borders of groups"() {
    const page = await recording("/yard/2");
    const [from] = await angles(page);
    const seen = await watch(page);
    const press = async (key, count) => {
      for (let i = 0; i < count; i++) {
        const before = await page.evaluate(() => window.seen.length);
        await page.keyboard.press(key);
        await page.waitForFunction((n) => window.seen.length > n, before);
        (await angles(page)).forEach(assertTrue);
      }
      return [...(await seen())];
    };
    const back = await press(",", 30);
    assert.ok(steps(back).every((ms) => Math.abs(ms + FRAME_MS) < 1), String(steps(back)));
    await shot(page, "step");
    const on = await press(".", 30);
    assert.ok(steps(on).every((ms) => Math.abs(ms - FRAME_MS) < 1), String(steps(on)));
    assert.equal((await angles(page))[0].time, from.time, "as many on as back is where it was");
    return page;
  },
  async "play slowly, and eight times as fast by key pictures"() {
    const asked = [];
    const page = await recording("/yard/1");
    page.on("request", (r) => r.url().includes("media.mp4") && asked.push(new URL(r.url()).searchParams));
    await page.keyboard.press("Home");
    await settle(page);
    const seen = await watch(page);
    const timed = async (speed) => {
      await page.getByRole("button", { name: `Speed ${speed}`, exact: true }).click();
      await page.waitForTimeout(700);
      await seen();
      const [t, began] = [await instant(page), Date.now()];
      await page.waitForTimeout(1000);
      return { speed: ((await instant(page)) - t) / (Date.now() - began), went: steps(await seen()) };
    };
    const slow = await timed(0.25);
    assert.ok(Math.abs(slow.speed - 0.25) < 0.06, `a quarter, not ${slow.speed}`);
    assert.ok(slow.went.every((ms) => Math.abs(ms - FRAME_MS) < 1), String(slow.went));
    asked.length = 0;
    const fast = await timed(8);
    await shot(page, "fast");
    assert.ok(Math.abs(fast.speed - 8) < 1.6, `eight times, not ${fast.speed}`);
    assert.ok(fast.went.length > 2 && fast.went.every((ms) => ms > 0 && Math.round(ms) % 1000 === 0), `key pictures: ${fast.went}`);
    assert.ok(asked.every((q) => Date.parse(q.get("to")) - Date.parse(q.get("from")) <= 1), "only key pictures are fetched");
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    await page.waitForFunction(() => document.querySelector(".sign").textContent.includes("2×"));
    await page.getByRole("button", { name: "Speed 1", exact: true }).click();
    await page.keyboard.press(" ");
    await page.getByRole("button", { name: "Play", exact: true }).waitFor();
    return page;
  },
  async "read why the node refuses, and try again"() {
    const empty = await fill();
    const page = await open(group(begin + 2000));
    await page.getByText(REASON).waitFor();
    assert.equal((await angles(page)).filter((a) => a.time).length, 0, "nothing plays");
    await shot(page, "refused");
    await empty();
    await page.getByRole("button", { name: "Try again" }).click();
    await allShown(page);
    assert.equal(await page.getByText(REASON).count(), 0);
    return page;
  },
  async "keep the speed that was promised when another is refused, and give the promise back"() {
    const media = [];
    const told = [];
    const page = await recording("/yard/1", async (page) => {
      page.on("request", (request) => {
        const url = new URL(request.url());
        if (url.pathname.endsWith("media.mp4")) media.push(url.searchParams.get("playback"));
        if (url.pathname.includes("/playbacks/")) told.push([request.method(), request.postData()]);
      });
    });
    assert.ok(media.length > 0 && media.every((id) => id && id === media[0]), `what is fetched names the promise: ${media}`);
    const empty = await fill();
    await page.keyboard.press("Home");
    await page.keyboard.press("l");
    await page.getByRole("button", { name: "Speed 8", exact: true }).click();
    await page.getByText(REASON).waitFor();
    assert.equal(await page.getByRole("button", { name: "Speed 1", exact: true }).getAttribute("aria-pressed"), "true");
    await settle(page);
    await shot(page, "refused-speed");
    await empty();
    await page.getByRole("link", { name: "Store" }).click();
    await page.waitForTimeout(300);
    const changes = told.filter(([method, body]) => method !== "PATCH" || body !== "{}");
    assert.deepEqual(changes, [["PATCH", '{"scale":8}'], ["DELETE", null]]);
    return page;
  },
  async "read what a browser without a decoder can't do, and step by seeking"() {
    const page = await open("#/stream/yard/1", undefined, {}, (page) => page.addInitScript(() => delete window.VideoDecoder));
    await page.waitForFunction(() => document.querySelector("video")?.readyState >= 2, null, { timeout: 20_000 });
    await page.keyboard.press("Home");
    await page.waitForTimeout(1500);
    const before = await frameTime(page);
    await page.keyboard.press(",");
    await page.getByText("WebCodecs").waitFor();
    await page.waitForFunction((t) => Date.parse(document.querySelector(".when").textContent.replace(" ", "T")) !== t, before);
    await shot(page, "no-decoder");
    await page.evaluate((hash) => (location.hash = hash), group(begin));
    await page.getByText("Angles can't be played together here").waitFor();
    return page;
  },
  async "watch angles on a phone"() {
    const page = await open(group(begin + 2000, NAMES.slice(0, 4)), phone.viewport, phone.more);
    await allShown(page, 4);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `${overflow} pixels too wide`);
    await shot(page, "angles-phone");
    return page;
  },
};

await run(journeys);

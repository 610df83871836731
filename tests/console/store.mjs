// Journeys of the store's page: `node store.mjs BASE_URL`. The node must run its test cameras, give promises, and
// hold /cam/door. Where its files are mounted they must hold a directory /projects; else the quota is on all files.

import assert from "node:assert/strict";
import { base, open, phone, run, shot } from "./browser.mjs";

const api = (path) => `${base}/api/v1/${path}`;
const json = async (path) => (await fetch(api(path))).json();
const directory = (await json("mounts")).length ? "/projects" : "/";

/** Has others play; the function sends them away. */
async function play(...wishes) {
  const ids = [];
  for (const wish of wishes) {
    const answer = await fetch(api("playbacks"), { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(wish) });
    assert.equal(answer.status, 201, await answer.clone().text());
    ids.push((await answer.json()).id);
  }
  return () => Promise.all(ids.map((id) => fetch(api(`playbacks/${id}`), { method: "DELETE" })));
}

const part = (page, name) => page.getByRole("region", { name, exact: true });
const fits = async (page) => {
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `${overflow} pixels too wide`);
};

/** Answers of the node changed on their way, for what a well node does not say. */
const answering = (path, change) => (page) =>
  page.route(`**/api/v1/${path}`, async (route) => {
    const answer = await route.fetch();
    await route.fulfill({ response: answer, json: change(await answer.json()) });
  });

const journeys = {
  async "see what is promised, and to whom"() {
    const leave = await play({ streams: ["/cam/door", "/test/card"] }, { streams: ["/cam/door"], scale: -8 });
    const page = await open("#/store");
    const playbacks = part(page, "Playbacks");
    await playbacks.getByRole("link", { name: "/cam/door" }).nth(1).waitFor();
    assert.equal(await playbacks.locator("tbody tr").count(), 3);
    await playbacks.getByText("8× backwards").waitFor();
    const shares = await page.evaluate(() => [...document.querySelectorAll(".shares > div")].map((part) => [part.className, parseFloat(part.style.width)]));
    assert.deepEqual(shares.map(([kind]) => kind), ["recording", "promised", "others", "free"]);
    assert.ok(Math.abs(shares.reduce((sum, [, width]) => sum + width, 0) - 100) < 0.1, "the shares are all there is");
    assert.ok(shares[1][1] > 0, "something is promised");
    assert.ok(Number(await playbacks.locator(".figures dd").first().textContent()) >= 2, "both are counted");
    assert.equal(await playbacks.locator("tr.late").count(), 0);
    await page.waitForTimeout(5000);
    await shot(page, "store-playbacks");
    await leave();
    await playbacks.getByText("Nobody plays under a promise.").waitFor();
    await playbacks.getByText("Nobody plays").scrollIntoViewIfNeeded();
    return page;
  },
  async "see that disks are slow and a block was late"() {
    const leave = await play({ streams: ["/cam/door", "/test/card"] });
    const page = await open("#/store", undefined, {}, answering("playbacks", (promises) => {
      promises.playbacks[1].late_blocks = 3;
      return { ...promises, slowdown: 1.44, withdrawn: 1, late_blocks: 4 };
    }));
    await page.getByRole("alert").filter({ hasText: "1.44 times as long as their profile says" }).waitFor();
    assert.equal(await page.locator("tr.late").innerText().then((text) => text.includes("3 late")), true);
    assert.equal(await page.locator("tr.late").count(), 1);
    await shot(page, "store-late");
    await leave();
    return page;
  },
  async "read why nothing is promised"() {
    let none = { state: "measuring", measurement: { disk: "/dev/sdb", done_percent: 41 } };
    const page = await open("#/store", undefined, {}, answering("playbacks", (promises) => ({ ...promises, guaranteed: false, ...none })));
    await page.getByText("still measuring /dev/sdb, 41 % done.").waitFor();
    none = { state: "failed", reason: "no disk is there" };
    await page.getByText("The node gives no promises: no disk is there. Anything may be played, and may be late.").waitFor();
    assert.equal(await page.locator(".shares").isVisible(), false);
    await shot(page, "store-no-promises");
    return page;
  },
  async "make and remove a snapshot"() {
    const page = await open("#/store");
    const snapshots = part(page, "Snapshots");
    await snapshots.getByText("None yet.").waitFor();
    await snapshots.getByLabel("Name").fill("before-the-upgrade");
    await page.keyboard.press("Enter");
    await snapshots.getByRole("cell", { name: "before-the-upgrade" }).first().waitFor();
    assert.deepEqual((await json("snapshots")).map(({ name }) => name), ["before-the-upgrade"]);
    await snapshots.getByLabel("Name").fill("before-the-upgrade");
    await snapshots.getByRole("button", { name: "Make snapshot" }).click();
    await snapshots.getByText('There is a snapshot "before-the-upgrade" already').waitFor();
    await snapshots.scrollIntoViewIfNeeded();
    await shot(page, "store-snapshots");
    let asked = "";
    page.once("dialog", (d) => void d.dismiss());
    const remove = snapshots.getByRole("button", { name: "Remove the snapshot before-the-upgrade" });
    await remove.click();
    assert.equal((await json("snapshots")).length, 1, "it stays when one thinks better of it");
    page.once("dialog", (d) => ((asked = d.message()), void d.accept()));
    await remove.click();
    await snapshots.getByText("None yet.").waitFor();
    assert.match(asked, /before-the-upgrade/);
    assert.deepEqual(await json("snapshots"), []);
    return page;
  },
  async "set, change and remove a quota"() {
    const page = await open("#/store");
    const quotas = part(page, "Quotas");
    const [path, size, files] = ["Directory", "Size at most", "Files at most"].map((label) => quotas.getByLabel(label));
    await path.fill("/nowhere");
    await size.fill("10 Gigs");
    await page.keyboard.press("Enter");
    await quotas.getByText("Write it like 10 GiB.").waitFor();
    await size.fill("4 MiB");
    await page.keyboard.press("Enter");
    await quotas.getByText("no directory").waitFor();
    await path.fill(directory);
    await files.fill("100");
    await page.keyboard.press("Enter");
    await quotas.getByRole("button", { name: `Remove the quota of ${directory}`, exact: true }).waitFor();
    const [{ bytes, files: most }] = await json("quotas");
    assert.deepEqual([bytes, most], [4 << 20, 100]);
    await quotas.scrollIntoViewIfNeeded();
    await shot(page, "store-quotas");
    await quotas.getByRole("button", { name: `Change the quota of ${directory}`, exact: true }).click();
    assert.deepEqual([await path.inputValue(), await size.inputValue(), await files.inputValue()], [directory, "4 MiB", "100"]);
    await size.fill("1 GiB");
    await files.fill("");
    await quotas.getByRole("button", { name: "Change quota", exact: true }).click();
    await quotas.getByText(`${directory}: at most 1.0 GiB.`).waitFor();
    assert.equal((await json("quotas"))[0].files, null);
    page.on("dialog", (d) => void d.accept());
    await quotas.getByRole("button", { name: `Remove the quota of ${directory}`, exact: true }).click();
    await quotas.getByText("None: every directory").waitFor();
    assert.deepEqual(await json("quotas"), []);
    return page;
  },
  async "type on while the page is refreshed, and nothing moves"() {
    const page = await open("#/store");
    const name = part(page, "Snapshots").getByLabel("Name");
    await name.fill("half-a-na");
    const before = await name.boundingBox();
    const leave = await play({ streams: ["/cam/door", "/test/card"] });
    await part(page, "Playbacks").getByRole("link", { name: "/cam/door" }).waitFor();
    assert.deepEqual(await name.boundingBox(), before, "it stands where it stood");
    assert.equal(await name.inputValue(), "half-a-na");
    assert.ok(await name.evaluate((input) => input === document.activeElement), "and has the focus");
    await leave();
    return page;
  },
  async "read why a list can't be refreshed, beside what was there"() {
    const page = await open("#/store");
    const snapshots = part(page, "Snapshots");
    await snapshots.getByText("None yet.").waitFor();
    await page.route("**/api/v1/snapshots", (route) => route.fulfill({ status: 500, json: { error: "the files can't be opened" } }));
    await snapshots.getByRole("status").filter({ hasText: "The files can't be opened." }).waitFor();
    assert.ok(await snapshots.getByText("None yet.").isVisible());
    await page.unroute("**/api/v1/snapshots");
    await snapshots.getByText("The files can't be opened.").waitFor({ state: "detached" });
    return page;
  },
  async "read it on a phone"() {
    const leave = await play({ streams: ["/cam/door", "/test/card"] });
    const page = await open("#/store", phone.viewport, phone.more);
    await part(page, "Playbacks").getByRole("link", { name: "/cam/door" }).waitFor();
    await fits(page);
    await shot(page, "store-phone", true);
    await leave();
    return page;
  },
};

await run(journeys);

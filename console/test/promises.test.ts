import { describe, expect, it } from "vitest";
import type { Playing, Promises } from "../src/api";
import { noPromiseText, percentText, playingKey, roomText, scaleText, shares, slownessText, totals } from "../src/store/promises";

const promises = (changes: Partial<Promises> = {}): Promises => ({
  guaranteed: true, state: "guaranteed", reason: null, measurement: null, waiting: 0, promised_percent: 0, recording_percent: 0, aside_percent: 0, others_percent: 20, slowdown: 1, fits_bps: 4_100_000,
  admitted: 0, refused: 0, withdrawn: 0, late_blocks: 0, playbacks: [], ...changes,
});
const percents = (changes: Partial<Promises>) => Object.fromEntries(shares(promises(changes)).map(({ kind, percent }) => [kind, percent]));

describe("the disks' time", () => {
  it("is shared out: what is promised is a share of what recordings and others leave", () => {
    expect(percents({ recording_percent: 30, others_percent: 20, promised_percent: 40 })).toEqual({ recording: 30, others: 20, promised: 20, free: 30 });
    expect(percents({})).toEqual({ recording: 0, others: 20, promised: 0, free: 80 });
    expect(percents({ aside_percent: 10, promised_percent: 50 })).toEqual({ recording: 0, others: 20, promised: 45, free: 35 });
  });

  it("is never more than there is", () => {
    expect(percents({ recording_percent: 95, others_percent: 20, promised_percent: 130 })).toEqual({ recording: 95, others: 5, promised: 0, free: 0 });
    expect(percents({ promised_percent: 101 }).free).toBe(0);
  });

  it("is told to a tenth where there is little of it", () => {
    expect([0, 0.04, 0.25, 3, 9.94, 9.96, 47.6].map(percentText)).toEqual(["0 %", "under 0.1 %", "0.3 %", "3 %", "9.9 %", "10 %", "48 %"]);
  });
});

describe("promises in words", () => {
  it("say what would fit and what became of what was asked", () => {
    expect(roomText(promises())).toContain("up to 4.1 Mb/s more");
    expect(roomText(promises({ fits_bps: 0 }))).toContain("No more");
    const counted = totals(promises({ admitted: 5, refused: 2, withdrawn: 1 }));
    expect(counted.map(({ name, count }) => `${count} ${name}`)).toEqual(["5 admitted", "2 refused", "1 taken back", "0 late blocks"]);
    expect(counted.filter(({ broken }) => broken).map(({ name }) => name)).toEqual(["taken back"]);
  });

  it("say that disks are slow only when they are by so much that it can be told", () => {
    expect(slownessText(promises())).toBeUndefined();
    expect(slownessText(promises({ slowdown: 1.004 }))).toBeUndefined();
    expect(slownessText(promises({ slowdown: 1.2999 }))).toContain("1.3 times as long as their profile says");
  });

  it("say the way and the speed", () => {
    expect([1, -1, 0.5, -8].map(scaleText)).toEqual(["1×", "1× backwards", "½×", "8× backwards"]);
  });

  it("say why there are none", () => {
    const none = (changes: Partial<Promises>) => noPromiseText(promises({ guaranteed: false, ...changes }));
    expect(none({ state: "failed", reason: "no disk is there" })).toMatch(/^The node gives no promises: no disk is there\. Anything may be played/);
    expect(none({ state: "measuring" })).toContain("still measuring its disks.");
    expect(none({ state: "measuring", measurement: { disk: "/dev/sdb", done_percent: 41.6 } })).toContain("still measuring /dev/sdb, 42 % done.");
    expect(none({ state: "disabled" })).toContain("configuration asks for none");
  });

  it("say that disks are measured anew, and who waits", () => {
    const slow = promises({ slowdown: 2, measurement: { disk: "/dev/sdb", done_percent: 5 } });
    expect(slownessText(slow)).toContain("measured anew: /dev/sdb, 5 % done.");
    expect(roomText(promises({ waiting: 1 }))).toBe("One waits in line for a promise.");
    expect(roomText(promises({ waiting: 3 }))).toBe("3 wait in line for a promise.");
  });
});

it("tells playbacks apart by promise and stream", () => {
  const one = (id: number | null, stream: string) => playingKey({ id, stream } as Playing);
  expect(one(1, "/a")).toBe(one(1, "/a"));
  expect(new Set([one(1, "/a"), one(2, "/a"), one(1, "/b"), one(null, "/a")]).size).toBe(4);
});

import { describe, expect, it } from "vitest";
import { FIRST_MAX_MS, HOLD_MAX_MS, MasterClock, Patience, TRUST_MS } from "../src/playback/clock";
import { extent, nearest, playable, spanAt } from "../src/playback/spans";
import { parseTime, stamp } from "../src/playback/time";

describe("the clock", () => {
  it("moves at its speed, backwards too, and stands while it is held", () => {
    const clock = new MasterClock(1000);
    expect(clock.time(50)).toBe(1000);
    clock.run(2, 50);
    expect(clock.time(60)).toBe(1020);
    clock.run(-1, 60);
    expect(clock.time(80)).toBe(1000);
    clock.hold(80);
    expect(clock.time(500)).toBe(1000);
    clock.set(7, 500);
    expect(clock.time(600)).toBe(7);
  });
});

describe("who is waited for", () => {
  const all = [true, true];

  it("waits longer for the first pictures than for later ones", () => {
    const patience = new Patience(2);
    expect(patience.waits([true, false], all, 0)).toBe(true);
    expect(patience.waits([true, false], all, FIRST_MAX_MS - 1)).toBe(true);
    expect(patience.waits([true, false], all, FIRST_MAX_MS)).toBe(false);
  });

  it("leaves an angle behind after a moment, and waits for it again once it has kept up", () => {
    const patience = new Patience(2);
    patience.waits([false, false], all, 0);
    expect(patience.waits([true, false], all, 10)).toBe(true);
    expect(patience.waits([true, false], all, 10 + HOLD_MAX_MS)).toBe(false);
    expect(patience.waits([false, false], all, 600)).toBe(false);
    expect(patience.waits([true, false], all, 700)).toBe(false);
    patience.waits([false, false], all, 800);
    expect(patience.waits([true, false], all, 800 + TRUST_MS)).toBe(true);
  });

  it("waits as long as it takes if nobody has a picture, and never for who has nothing recorded", () => {
    const patience = new Patience(2);
    expect(patience.waits([true, true], all, 0)).toBe(true);
    expect(patience.waits([true, true], all, 99_000)).toBe(true);
    expect(patience.waits([false, true], [true, false], 99_000)).toBe(false);
    expect(patience.waits([false, false], [false, false], 99_000)).toBe(false);
  });
});

describe("what can be played", () => {
  const lanes = [[{ from: 10, to: 20 }], [{ from: 15, to: 25 }, { from: 40, to: 50 }]];

  it("skips what no angle has, the way it plays", () => {
    expect([playable(lanes, 22, 1), playable(lanes, 30, 1), playable(lanes, 30, -1)]).toEqual([22, 40, 24]);
    expect([playable(lanes, 50, 1), playable(lanes, 9, -1)]).toEqual([undefined, undefined]);
  });

  it("finds the nearest, the whole and the one", () => {
    expect([nearest(lanes, 27), nearest(lanes, 38), nearest(lanes, 99), nearest([], 1)]).toEqual([24, 40, 49, undefined]);
    expect(extent(lanes)).toEqual({ from: 10, to: 50 });
    expect([spanAt(lanes[0]!, 20), spanAt(lanes[0]!, 10)?.to]).toEqual([undefined, 20]);
  });
});

describe("instants", () => {
  it("keep what the node writes behind the millisecond", () => {
    const t = parseTime("2026-11-22T05:32:37.032044445Z");
    expect(t - Date.UTC(2026, 10, 22, 5, 32, 37)).toBeCloseTo(32.044445, 3);
    expect(stamp(t)).toBe("2026-11-22T05:32:37.032044Z");
    expect(parseTime("2026-11-22T05:32:37Z")).toBe(Date.UTC(2026, 10, 22, 5, 32, 37));
  });
});

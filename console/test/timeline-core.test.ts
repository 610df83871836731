import { describe, expect, it } from "vitest";
import { outAt, outOf, pan, reveal, spanNear, ticks, toTime, toX, zoom, ZOOM_MAX_MS, ZOOM_MIN_MS } from "../src/timeline-core";

const hour = { from: 0, to: 3_600_000 };

describe("timeline", () => {
  it("maps times to pixels and back", () => {
    for (const x of [0, 13, 500, 999]) expect(toX(hour, 1000, toTime(hour, 1000, x))).toBeCloseTo(x);
  });

  it("says what is out and how long it takes to come back", () => {
    const at = (ms: number) => new Date(ms).toISOString();
    const run = (start: number, end: number, back_in_ms: number | null) => ({ start: at(start), end: at(end), back_in_ms });
    const out = outOf([
      { start: at(0), end: at(9_000), out: [run(0, 4_000, 2_300), run(6_000, 9_000, null)] },
      { start: at(10_000), end: at(20_000) },
    ]);
    expect(out).toEqual([
      { from: 0, to: 4_000, back_in_ms: 2_300 },
      { from: 6_000, to: 9_000, back_in_ms: null },
    ]);
    expect(outAt([[], out], 3_999)).toBe(" out, back in 3 s");
    expect(outAt([out], 7_000)).toBe(" out");
    expect(outAt([out], 4_000)).toBe("");
  });

  it("keeps the pointer's time in place while zooming", () => {
    const at = 900_000;
    const closer = zoom(hour, 0.1, at);
    expect(toX(closer, 1000, at)).toBeCloseTo(toX(hour, 1000, at));
    expect(closer.to - closer.from).toBeCloseTo(360_000);
  });

  it("zooms from a second to a month and no further", () => {
    let view = hour;
    for (let i = 0; i < 100; i++) view = zoom(view, 0.5, 5);
    expect(view.to - view.from).toBeCloseTo(ZOOM_MIN_MS);
    for (let i = 0; i < 100; i++) view = zoom(view, 2, 5);
    expect(view.to - view.from).toBeCloseTo(ZOOM_MAX_MS);
  });

  it("has readable ticks at every zoom, in local time", () => {
    for (let length = ZOOM_MIN_MS; length <= ZOOM_MAX_MS; length *= 1.7) {
      const view = { from: 1_795_000_000_000, to: 1_795_000_000_000 + length };
      const found = ticks(view, 1000, 3_600_000);
      expect(found.length).toBeGreaterThan(0);
      expect(found.length).toBeLessThanOrEqual(12);
      for (const tick of found) {
        expect(tick.time).toBeGreaterThanOrEqual(view.from);
        expect(tick.label).not.toBe("");
      }
    }
    const midnight = ticks({ from: 82_800_000 - 1, to: 82_800_001 }, 10, 3_600_000, 1);
    expect(midnight.some((t) => t.strong && t.label === "01-02")).toBe(true);
  });

  it("moves only what is out of sight into view", () => {
    expect(reveal(hour, 5)).toBe(hour);
    const moved = reveal(hour, 10_000_000, 0.25);
    expect(toX(moved, 1000, 10_000_000)).toBeCloseTo(250);
    expect(pan(hour, 10).from).toBe(10);
  });

  it("finds the span to play", () => {
    const spans = [{ from: 10, to: 20 }, { from: 30, to: 40 }];
    expect(spanNear(spans, 5)?.from).toBe(10);
    expect(spanNear(spans, 25)?.from).toBe(30);
    expect(spanNear(spans, 99)?.from).toBe(30);
    expect(spanNear([], 1)).toBeUndefined();
  });
});

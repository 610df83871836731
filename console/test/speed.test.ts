import { describe, expect, it } from "vitest";
import { keysOnly, notch, shuttle, speedText } from "../src/playback/speed";

describe("speed", () => {
  it("doubles each time the same shuttle key is pressed, up to the fastest", () => {
    let speed = shuttle(1, true, -1);
    const seen = [speed];
    for (let i = 0; i < 6; i++) seen.push((speed = shuttle(speed, false, -1)));
    expect(seen).toEqual([-1, -2, -4, -8, -16, -32, -32]);
  });

  it("begins at once the normal way when it was paused, slow, or went the other way", () => {
    expect(shuttle(8, true, 1)).toBe(1);
    expect(shuttle(-8, false, 1)).toBe(1);
    expect(shuttle(0.25, false, 1)).toBe(1);
    expect(shuttle(1, false, -1)).toBe(-1);
  });

  it("goes by notches either way and stops at the ends", () => {
    expect([notch(1, -1), notch(0.5, -1), notch(0.25, -1)]).toEqual([0.5, 0.25, 0.25]);
    expect([notch(-2, 1), notch(-32, 1)]).toEqual([-4, -32]);
  });

  it("shows key pictures alone from four times on", () => {
    expect([2, -2, 4, -32].map(keysOnly)).toEqual([false, false, true, true]);
  });

  it("is written as people write it", () => {
    expect([0.25, -0.5, 8].map(speedText)).toEqual(["¼×", "½×", "8×"]);
  });
});

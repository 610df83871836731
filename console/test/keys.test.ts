import { afterEach, describe, expect, it, vi } from "vitest";
import { api, ApiError } from "../src/api";
import { KeyIndex } from "../src/playback/keys";
import { parseTime, stamp } from "../src/playback/time";
import { groupHash, parseGroup } from "../src/views/group-address";

const start = Date.UTC(2026, 10, 22, 5, 0, 0);
const span = { from: start, to: start + 100_000 };
/** A group each two seconds; answers have three at most. */
const keys = vi.spyOn(api, "keys");
const answer = async (_name: string, from: string, to: string) => {
  const all = Array.from({ length: 50 }, (_, i) => start + i * 2000).filter((t) => t + 2000 > parseTime(from) && t < parseTime(to));
  const next = all[3];
  return { keys: all.slice(0, 3).map((t) => ({ time: stamp(t), until: stamp(t + 2000), units: 50 })), next: next === undefined ? null : stamp(next) };
};

async function known<T>(look: () => T | undefined): Promise<T | undefined> {
  for (let i = 0; i < 50; i++) {
    const value = look();
    if (value !== undefined) return value;
    await new Promise((done) => setTimeout(done, 1));
  }
  return undefined;
}

describe("groups of pictures", () => {
  afterEach(() => void keys.mockReset());

  it("are found by time, and one after another over pages, both ways", async () => {
    keys.mockImplementation(answer);
    const index = new KeyIndex("/cam/a", 0, 7000, () => undefined);
    const group = (await known(() => index.at(start + 14_500, span)))!;
    expect(group.time - start).toBe(14_000);
    const after = (await known(() => index.after(group, span)))!;
    const before = (await known(() => index.before(group, span)))!;
    expect([after.time - start, before.time - start]).toEqual([16_000, 12_000]);
    expect(await known(() => index.before({ ...group, time: start }, span))).toBeNull();
    expect(await known(() => index.after({ ...group, time: start + 98_000 }, span))).toBeNull();
  });

  it("are asked for once", async () => {
    keys.mockImplementation(answer);
    const index = new KeyIndex("/cam/a", 0, 4000, () => undefined);
    await known(() => index.at(start + 9000, span));
    const count = keys.mock.calls.length;
    await known(() => index.at(start + 9500, span));
    expect(keys.mock.calls.length).toBe(count);
  });

  it("are asked for again once their span has grown", async () => {
    keys.mockImplementation(answer);
    const clock = vi.spyOn(performance, "now").mockReturnValue(0);
    const index = new KeyIndex("/cam/a", 0, 1e9, () => undefined);
    await known(() => index.at(start + 9000, span));
    const count = keys.mock.calls.length;
    clock.mockReturnValue(9000);
    index.at(start + 9000, span);
    expect(keys.mock.calls.length).toBe(count);
    index.at(start + 9000, { ...span, to: span.to + 1000 });
    expect(keys.mock.calls.length).toBe(count + 1);
    clock.mockRestore();
  });

  it("are none where nothing is recorded; another refusal is told, and they are asked for again", async () => {
    const failed = vi.fn();
    const index = new KeyIndex("/cam/a", 0, 1e9, failed);
    keys.mockRejectedValueOnce(new ApiError("The node answered 500.", 500));
    index.at(start, span);
    await known(() => failed.mock.calls[0]);
    keys.mockRejectedValue(new ApiError("nothing is recorded of /cam/a", 404));
    expect(await known(() => index.at(start, span))).toBeNull();
  });
});

describe("the address of a group of angles", () => {
  it("comes back as it was written, with odd names and an instant", () => {
    const names = ["/cam/a", "/cam/b c&d=e", "/ß"];
    expect(parseGroup(groupHash(names, start))).toEqual({ names, at: start });
    expect(parseGroup(groupHash(["/a"]))).toEqual({ names: ["/a"], at: undefined });
  });

  it("has nine different names at most", () => {
    expect(parseGroup(groupHash([...Array(12).keys()].map((i) => `/cam/${i}`))).names.length).toBe(9);
    expect(parseGroup("#/group?s=/a&s=/a&s=b&at=soon")).toEqual({ names: ["/a"], at: undefined });
  });
});

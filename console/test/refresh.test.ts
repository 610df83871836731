import { describe, expect, it } from "vitest";
import { keyed } from "../src/store/keyed";
import { Latest } from "../src/store/latest";

/** An answer that is given by hand. */
function answer<T>() {
  let [give, refuse]: [(value: T) => void, (error: Error) => void] = [() => undefined, () => undefined];
  const comes = new Promise<T>((resolve, reject) => ([give, refuse] = [resolve, reject]));
  return { ask: () => comes, give: (value: T) => give(value), refuse: (text: string) => refuse(new Error(text)) };
}

describe("answers under way", () => {
  it("that come in order are all taken", async () => {
    const latest = new Latest();
    expect(await latest.ask(async () => 1)).toEqual({ answer: 1 });
    expect(await latest.ask(async () => 2)).toEqual({ answer: 2 });
  });

  it("that come behind a newer one are passed over, and so are their errors", async () => {
    const [old, failed, recent] = [answer<number>(), answer<number>(), answer<number>()];
    const latest = new Latest();
    const asked = [old, failed, recent].map((one) => latest.ask(one.ask));
    recent.give(3);
    expect(await asked[2]).toEqual({ answer: 3 });
    failed.refuse("gone");
    old.give(1);
    expect(await Promise.all(asked.slice(0, 2))).toEqual([undefined, undefined]);
  });

  it("that fail are told, unless a newer one came", async () => {
    const latest = new Latest();
    await expect(latest.ask(() => Promise.reject(new Error("no disk")))).rejects.toThrow("no disk");
    expect(await latest.ask(async () => 4)).toEqual({ answer: 4 });
  });
});

describe("keys of rows", () => {
  it("stay with their item, and are each there once", () => {
    const key = (item: { name: string }) => item.name;
    const before = keyed([{ name: "a" }, { name: "b" }, { name: "a" }], key).map(([k]) => k);
    expect(new Set(before).size).toBe(3);
    const after = keyed([{ name: "b" }, { name: "a" }], key).map(([k]) => k);
    expect(after).toEqual([before[1], before[0]]);
  });
});

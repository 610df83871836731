import { describe, expect, it } from "vitest";
import { bytes } from "../src/format";
import { level, parseCount, parseSize, sizeText } from "../src/store/limits";

describe("limits as they are typed", () => {
  it("are sizes in the units the commands take", () => {
    expect(["10 GiB", "10gib", " 1.5K ", "5MB", "4096", "2 TB"].map(parseSize)).toEqual([10 * 2 ** 30, 10 * 2 ** 30, 1536, 5e6, 4096, 2e12]);
  });

  it("are none where nothing is typed", () => {
    expect([parseSize(""), parseSize("  "), parseCount("")]).toEqual([null, null, null]);
  });

  it("are refused with how to write them", () => {
    for (const text of ["ten", "10 Gigs", "-1", "1e9", "1..5 GiB", "99999999 TiB", "constructor", "1 constructor"]) {
      expect(() => parseSize(text), text).toThrow("Write it like 10 GiB.");
    }
    for (const text of ["many", "1.5", "-3", "99999999999999999999"]) expect(() => parseCount(text), text).toThrow("number of files");
  });

  it("may have gaps in long numbers", () => {
    expect(parseCount("100 000")).toBe(100_000);
  });

  it("come back exactly when they are to be changed", () => {
    expect([10 * 2 ** 30, 5e6, 1536 * 2 ** 20, 1000, 1001, 0].map(sizeText)).toEqual(["10 GiB", "5 MB", "1536 MiB", "1 kB", "1001", "0"]);
    for (const n of [0, 1, 999, 1000, 1024, 10_000_000, 123_456_789, 7 * 2 ** 40]) expect(parseSize(sizeText(n))).toBe(n);
    expect(sizeText(null)).toBe("");
  });
});

describe("how much of a limit is used", () => {
  it("is a share, and near or full", () => {
    expect(level(2 ** 20, 4 * 2 ** 20, bytes)).toEqual({ text: "1.0 MiB of 4.0 MiB", percent: 25, state: "calm" });
    expect(level(95, 100, String).state).toBe("near");
    expect(level(130, 100, String)).toEqual({ text: "130 of 100", percent: 100, state: "full" });
    expect(level(0, 0, String).state).toBe("full");
  });

  it("is only a number where there is no limit", () => {
    expect(level(7, null, String)).toEqual({ text: "7, no limit", percent: undefined, state: "calm" });
  });
});

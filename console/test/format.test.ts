import { expect, it } from "vitest";
import { bytes, duration, rate } from "../src/format";

it("prints amounts with units", () => {
  expect([bytes(0), bytes(1536), bytes(5 * 2 ** 30)]).toEqual(["0 B", "1.5 KiB", "5.0 GiB"]);
  expect([rate(10), rate(64_000), rate(4_200_000)]).toEqual(["10 b/s", "64 kb/s", "4.2 Mb/s"]);
});

it("prints durations with two units at most", () => {
  expect([duration(0.25), duration(4.2), duration(75), duration(3600), duration(90_061)]).toEqual([
    "250 ms", "4.2 s", "1 m 15 s", "1 h", "1 d 1 h",
  ]);
});

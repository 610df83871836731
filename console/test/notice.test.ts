import { describe, expect, it } from "vitest";
import { MISSED_MS, Notices } from "../src/notice";

const missed = (ms: number) => ({
  missed: { units: 9, from: "2026-11-20T03:12:07.000000000Z", to: new Date(Date.UTC(2026, 10, 20, 3, 12, 7, ms)).toISOString() },
});

describe("notices over a live picture", () => {
  it("say what a slow connection missed, added up while they stand", () => {
    const notices = new Notices();
    expect(notices.message(missed(2400), 1000)).toEqual({ text: "Missed 2.4 s: this connection is too slow.", ms: MISSED_MS });
    expect(notices.message(missed(600), 2000)?.text).toContain("Missed 3.0 s:");
    expect(notices.message(missed(500), 2000 + MISSED_MS)?.text).toContain("Missed 500 ms:");
    expect(notices.message({ missed: { units: 1, from: "?", to: "?" } }, 99_000)?.text).toContain("Missed 0 ms:");
  });

  it("wait for a camera that has left, until its stream is described again", () => {
    const notices = new Notices();
    expect(notices.message({ mime: "video/mp4", epoch_ms: 0 }, 0)).toBeUndefined();
    expect(notices.message({ idle: true }, 1)).toEqual({ text: "Waiting for the camera." });
    expect(notices.message(missed(700), 2)?.text).toBe("Waiting for the camera.");
    expect(notices.message({ mime: "video/mp4", epoch_ms: 9 }, 3)).toEqual({
      text: "Missed 700 ms: this connection is too slow.",
      ms: MISSED_MS - 1,
    });
    expect(notices.message({ mime: "video/mp4" }, 3 + MISSED_MS)).toBeUndefined();
  });

  it("give the node's own reason as a sentence", () => {
    const notices = new Notices();
    expect(notices.message({ error: "browsers don't play l16 in MP4" }, 0)).toEqual({ text: "Browsers don't play l16 in MP4." });
    expect(notices.message({ error: "Done!" }, 0)?.text).toBe("Done!");
    expect(notices.message({ error: "" }, 0)?.text).toBe("Nothing can be shown.");
    expect(notices.disconnected(1)?.text).toBe("Nothing can be shown.");
  });

  it("tell of a connection that is lost, and no more once it is back", () => {
    const notices = new Notices();
    expect(notices.disconnected(0)?.text).toBe("The connection is lost. Trying again.");
    expect(notices.connected(1)).toBeUndefined();
    expect(notices.message({}, 2)).toBeUndefined();
  });
});

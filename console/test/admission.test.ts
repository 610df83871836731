import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ApiError, type Playback } from "../src/api";
import { Admission } from "../src/playback/admission";

const promise = (id: number, scale = 1): Playback => ({ id, scale, rate_bps: 8e6, expires_in_ms: 30_000 });
const refusal = () => new ApiError("the disks are full with 9 playbacks; 2 angles would fit", 503);

function node() {
  return {
    askPlayback: vi.fn(async (_streams: string[], _from: string, scale: number) => promise(7, scale)),
    keepPlayback: vi.fn(async (id: number, scale?: number): Promise<Playback | undefined> => promise(id, scale)),
    endPlayback: vi.fn(async () => undefined),
  };
}

describe("the promise of a playback", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());
  const make = (api: ReturnType<typeof node>, refused = vi.fn()) => ({ refused, it: new Admission(api, ["/cam/a", "/cam/b"], () => "T", refused) });

  it("is asked for, renewed three times as often as it must be, and given back", async () => {
    const api = node();
    const { it: admission } = make(api);
    expect(await admission.ask(1)).toBeUndefined();
    expect(api.askPlayback).toHaveBeenCalledWith(["/cam/a", "/cam/b"], "T", 1);
    expect(admission.id).toBe(7);
    await vi.advanceTimersByTimeAsync(30_000);
    expect(api.keepPlayback).toHaveBeenCalledTimes(3);
    admission.end();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(api.endPlayback).toHaveBeenCalledWith(7);
    expect(api.keepPlayback).toHaveBeenCalledTimes(3);
    expect(admission.id).toBeUndefined();
  });

  it("is refused with the node's reason", async () => {
    const api = node();
    api.askPlayback.mockRejectedValueOnce(refusal());
    const { it: admission } = make(api);
    expect(await admission.ask(1)).toContain("2 angles would fit");
    expect(await admission.ask(1)).toBeUndefined();
    expect(admission.id).toBe(7);
  });

  it("is not needed where the node gives none", async () => {
    const api = node();
    api.askPlayback.mockRejectedValueOnce(new ApiError("there is nothing at /api/v1/playbacks", 404));
    const { it: admission } = make(api);
    expect(await admission.ask(1)).toBeUndefined();
    expect(await admission.change(8)).toBeUndefined();
    expect(api.keepPlayback).not.toHaveBeenCalled();
    expect(admission.id).toBeUndefined();
  });

  it("stays as it was when another speed is refused", async () => {
    const api = node();
    const { it: admission } = make(api);
    await admission.ask(1);
    api.keepPlayback.mockRejectedValueOnce(refusal());
    expect(await admission.change(8)).toContain("would fit");
    expect(await admission.change(-2)).toBeUndefined();
    expect(api.keepPlayback).toHaveBeenLastCalledWith(7, -2);
    expect(await admission.change(-2)).toBeUndefined();
    expect(api.keepPlayback).toHaveBeenCalledTimes(2);
  });

  it("is asked for anew when it expired, and tells if it is not given again", async () => {
    const api = node();
    const { it: admission, refused } = make(api);
    await admission.ask(1);
    api.keepPlayback.mockRejectedValueOnce(new ApiError("there is no playback 7", 404));
    api.askPlayback.mockResolvedValueOnce(promise(8));
    await vi.advanceTimersByTimeAsync(10_000);
    expect(admission.id).toBe(8);
    api.keepPlayback.mockRejectedValueOnce(new ApiError("there is no playback 8", 404));
    api.askPlayback.mockRejectedValueOnce(refusal());
    await vi.advanceTimersByTimeAsync(10_000);
    expect(refused).toHaveBeenCalledWith(expect.stringContaining("would fit"));
    expect(admission.id).toBeUndefined();
  });

  it("is tried again while the node can't be reached", async () => {
    const api = node();
    const { it: admission, refused } = make(api);
    await admission.ask(1);
    api.keepPlayback.mockRejectedValueOnce(new ApiError("The node can't be reached."));
    await vi.advanceTimersByTimeAsync(12_000);
    expect(api.keepPlayback).toHaveBeenCalledTimes(2);
    expect(admission.id).toBe(7);
    expect(refused).not.toHaveBeenCalled();
  });

  it("that comes after the viewer has left is given back at once", async () => {
    const api = node();
    const { it: admission } = make(api);
    const asked = admission.ask(1);
    admission.end();
    await asked;
    expect(api.endPlayback).toHaveBeenCalledWith(7);
    expect(admission.id).toBeUndefined();
  });
});

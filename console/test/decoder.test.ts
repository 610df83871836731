import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import clip from "../../tests/media/one-by-one-person-detection.mp4?inline";
import { WindowDecoder } from "../src/playback/decoder";
import { demux, type Pictures } from "../src/playback/demux";
import { indexAt, shown, windowCount, windowLength, windowRange } from "../src/playback/windows";

const begin = 1_795_325_557_000;
/** Ten pictures 40 ms apart, decoded in the order I P B P B ... as with one reordered picture. */
function reordered(): Pictures {
  const order = [0, 2, 1, 4, 3, 6, 5, 8, 7, 9];
  return { config: { codec: "avc1.42c015" }, coded: order.map((n) => ({ time: begin + n * 40, key: n === 0, data: new Uint8Array([n]) })) };
}

/** Gives pictures back in the order of showing, each once the one behind it was handed over. */
class FakeDecoder extends EventTarget {
  static made = 0;
  static decoded: number[] = [];
  state = "unconfigured";
  decodeQueueSize = 0;
  private held: number[] = [];
  private wantsKey = true;
  constructor(private readonly init: { output: (f: unknown) => void; error: (e: unknown) => void }) {
    super();
    FakeDecoder.made++;
  }
  configure() {
    this.state = "configured";
  }
  reset() {
    this.held = [];
    this.decodeQueueSize = 0;
    this.wantsKey = true;
  }
  close() {
    this.state = "closed";
  }
  decode(chunk: { type: string; timestamp: number; data: Uint8Array }) {
    if (this.wantsKey && chunk.type !== "key") throw new Error("a key picture has to come first");
    this.wantsKey = false;
    FakeDecoder.decoded.push(chunk.data[0]!);
    this.decodeQueueSize++;
    this.held.push(chunk.timestamp);
    queueMicrotask(() => {
      this.decodeQueueSize = Math.max(0, this.decodeQueueSize - 1);
      this.held.sort((a, b) => a - b);
      while (this.held.length > 2) this.put();
      this.dispatchEvent(new Event("dequeue"));
    });
  }
  async flush() {
    await Promise.resolve();
    while (this.held.length > 0) this.put();
    this.wantsKey = true;
  }
  private put() {
    const timestamp = this.held.shift();
    if (timestamp !== undefined && this.state === "configured") this.init.output({ timestamp, displayWidth: 64, displayHeight: 36, format: "NV12", close() {} });
  }
}

describe("windows of a group", () => {
  beforeEach(() => {
    FakeDecoder.made = 0;
    FakeDecoder.decoded = [];
    vi.stubGlobal("VideoDecoder", FakeDecoder);
    vi.stubGlobal("EncodedVideoChunk", class { constructor(init: object) { Object.assign(this, init); } });
    vi.stubGlobal("createImageBitmap", async () => ({ close: vi.fn() }));
  });
  afterEach(() => void vi.unstubAllGlobals());
  const numbers = (pictures: { time: number }[] | undefined) => pictures?.map((p) => (p.time - begin) / 40);
  const always = () => true;

  it("hold the pictures in the order in which they are shown", () => {
    const group = shown(reordered(), begin, 4);
    expect(group.times.map((t) => (t - begin) / 40)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect([windowCount(group), windowRange(group, 2)]).toEqual([3, [8, 10]]);
    expect([begin - 9, begin, begin + 79.99, begin + 80, begin + 9999].map((t) => indexAt(group.times, t))).toEqual([0, 0, 2, 2, 9]);
    expect(indexAt([], begin)).toBe(-1);
  });

  it("leave out pictures that are shown before the key picture", () => {
    const pictures = reordered();
    pictures.coded[2]!.time = begin - 40;
    expect(shown(pictures, begin, 4).times.length).toBe(9);
  });

  it("go on forwards where the decoder is: every picture is decoded once", async () => {
    const decoder = new WindowDecoder((size) => size);
    const group = shown(reordered(), begin, 4);
    const windows = await Promise.all([0, 1, 2].map((w) => decoder.decode(group, w, always)));
    expect(windows.map(numbers)).toEqual([[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]);
    expect([FakeDecoder.made, FakeDecoder.decoded.length]).toEqual([1, 10]);
  });

  it("begin at the key picture backwards, and give the same pictures", async () => {
    const decoder = new WindowDecoder((size) => size);
    const group = shown(reordered(), begin, 4);
    const windows = [];
    for (const w of [2, 1, 0]) windows.push(numbers(await decoder.decode(group, w, always)));
    expect(windows).toEqual([[8, 9], [4, 5, 6, 7], [0, 1, 2, 3]]);
  });

  it("of another group follow, and what is not wanted any more is not decoded", async () => {
    const decoder = new WindowDecoder((size) => size);
    const [a, b] = [shown(reordered(), begin, 16), shown(reordered(), begin, 16)];
    const results = await Promise.all([decoder.decode(a, 0, always), decoder.decode(a, 0, () => false), decoder.decode(b, 0, always)]);
    expect(results.map((r) => r?.length)).toEqual([10, undefined, 10]);
    decoder.close();
    expect(await decoder.decode(a, 0, always)).toBeUndefined();
  });

  it("are as long as the memory allows", () => {
    expect(windowLength(320, 180, 9)).toBeGreaterThan(25);
    expect(windowLength(3840, 2160, 1)).toBeLessThan(10);
    expect(windowLength(3840, 2160, 9)).toBe(4);
    expect(windowLength(0, 0, 1)).toBe(64);
  });
});

describe("a file of the node", () => {
  it("gives the first group, with capture times and the decoder's configuration", async () => {
    const { config, coded } = demux(await (await fetch(clip)).arrayBuffer(), begin);
    expect(config.codec).toMatch(/^avc1\./);
    expect((config.description as Uint8Array)[0]).toBe(1);
    expect([coded[0]!.time, coded[0]!.key, coded.filter((c) => c.key).length]).toEqual([begin, true, 1]);
    const times = coded.map((c) => c.time).sort((a, b) => a - b);
    for (const [i, t] of times.entries()) expect(t).toBeCloseTo(begin + i * 100, 0);
    expect(coded[1]!.data.byteLength).toBeGreaterThan(0);
  });

  it("that is none gives nothing", () => {
    expect(demux(new ArrayBuffer(16), begin).coded).toEqual([]);
  });
});

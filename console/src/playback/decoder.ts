// One stream's decoder: windows of pictures out of coded groups, one job after the other.

import { JPEG } from "./demux";
import { indexAt, windowRange, type Shown } from "./windows";

/** A decoded picture. */
export interface Picture {
  /** Capture time, milliseconds since the epoch. */
  time: number;
  image: ImageBitmap | VideoFrame;
}

/** Coded pictures handed over before some come back: decoders reorder, and work in parallel. */
const FED_MAX = 8;

interface Job {
  group: Shown;
  window: number;
  wanted: () => boolean;
  done: (pictures: Picture[] | undefined) => void;
  failed: (error: unknown) => void;
}

/** How large a picture is kept. */
export interface Size {
  width: number;
  height: number;
}

/**
 * Decodes windows in the order asked. A window that follows the one before it in its group goes on where
 * the decoder is; any other begins at the group's key picture, which is the price of going backwards
 * through a group that is longer than a window.
 */
export class WindowDecoder {
  private readonly jobs: Job[] = [];
  private busy = false;
  private closed = false;
  private decoder: VideoDecoder | undefined;
  private config: VideoDecoderConfig | undefined;
  private group: Shown | undefined;
  /** Coded pictures of the group that were handed over. */
  private fed = 0;
  /** Where in the order of showing the decoder is: pictures before this one came back. */
  private out = 0;
  private flushed = false;
  /** Counts beginnings, so that a flush that was cut off is not taken for this one's. */
  private round = 0;
  /** Came back, in the order in which they are shown. */
  private frames: VideoFrame[] = [];
  private broken: unknown;
  private wake: (() => void) | undefined;

  /** `size` says how large pictures of a given size are to be kept. */
  constructor(private readonly size: (coded: Size) => Size) {}

  /** A window's pictures; undefined if they were not wanted any more when it was their turn. */
  decode(group: Shown, window: number, wanted: () => boolean): Promise<Picture[] | undefined> {
    return new Promise((done, failed) => {
      this.jobs.push({ group, window, wanted, done, failed });
      void this.work();
    });
  }

  close() {
    this.closed = true;
    this.drop();
    for (const job of this.jobs.splice(0)) job.done(undefined);
  }

  private async work() {
    if (this.busy) return;
    this.busy = true;
    for (let job = this.jobs.shift(); job; job = this.jobs.shift()) {
      try {
        job.done(job.wanted() && !this.closed ? await this.run(job) : undefined);
      } catch (error) {
        this.drop();
        job.failed(error);
      }
    }
    this.busy = false;
  }

  private async run({ group, window, wanted }: Job): Promise<Picture[] | undefined> {
    const [low, high] = windowRange(group, window);
    if (group.pictures.config.codec === JPEG) return this.jpegs(group, low, high);
    if (this.group !== group || this.out > low) this.begin(group);
    const pictures: Picture[] = [];
    while (this.out < high) {
      const frame = await this.next();
      if (!frame) break;
      if (this.closed || !wanted()) {
        frame.close();
        for (const p of pictures) p.image.close();
        this.group = undefined;
        return undefined;
      }
      const time = frame.timestamp / 1000 + this.begin_ms;
      const index = time < group.times[0]! - 1 ? -1 : indexAt(group.times, time);
      if (index >= high) {
        // One before it was damaged and did not come back.
        this.frames.unshift(frame);
        break;
      }
      if (index >= low) pictures.push({ time: group.times[index]!, image: await this.keep(frame) });
      this.out = index + 1;
      frame.close();
    }
    this.out = high;
    return pictures;
  }

  /** Pictures that need no other. */
  private async jpegs(group: Shown, low: number, high: number): Promise<Picture[]> {
    const pictures: Picture[] = [];
    for (const { time, data } of group.pictures.coded.slice(low, high)) {
      const whole = await createImageBitmap(new Blob([data], { type: "image/jpeg" }));
      const size = this.size({ width: whole.width, height: whole.height });
      if (size.width >= whole.width) pictures.push({ time, image: whole });
      else {
        pictures.push({ time, image: await createImageBitmap(whole, { resizeWidth: size.width, resizeHeight: size.height, resizeQuality: "medium" }) });
        whole.close();
      }
    }
    return pictures;
  }

  /** The next picture in the order in which they are shown; undefined after the group's last. */
  private async next(): Promise<VideoFrame | undefined> {
    const coded = this.group?.pictures.coded ?? [];
    for (;;) {
      if (this.broken) throw this.broken;
      const frame = this.frames.shift();
      if (frame) return frame;
      const decoder = this.decoder;
      if (!decoder || decoder.state === "closed" || this.flushed) return undefined;
      if (this.fed < coded.length && decoder.decodeQueueSize < FED_MAX) {
        this.feed(decoder, coded[this.fed++]!);
        if (this.fed === coded.length) this.flush(decoder);
      } else {
        await new Promise<void>((wake) => (this.wake = wake));
      }
    }
  }

  /** Nothing follows: what the decoder still holds comes out. */
  private flush(decoder: VideoDecoder) {
    const round = this.round;
    const over = () => {
      if (this.round === round) this.flushed = true;
      this.wake?.();
    };
    decoder.flush().then(over, over);
  }

  private get begin_ms() {
    return this.group?.pictures.coded[0]?.time ?? 0;
  }

  private feed(decoder: VideoDecoder, coded: { time: number; key: boolean; data: Uint8Array<ArrayBuffer> }) {
    const timestamp = Math.round((coded.time - this.begin_ms) * 1000);
    decoder.decode(new EncodedVideoChunk({ type: coded.key ? "key" : "delta", timestamp, data: coded.data }));
  }

  /**
   * A frame to be held for a while. Decoders in hardware have few buffers and stand still while these are
   * held, so theirs are copied; the planes of a decoder in software are ordinary memory.
   */
  private async keep(frame: VideoFrame): Promise<ImageBitmap | VideoFrame> {
    const { width, height } = this.size({ width: frame.displayWidth, height: frame.displayHeight });
    if (width < frame.displayWidth) return createImageBitmap(frame, { resizeWidth: width, resizeHeight: height, resizeQuality: "medium" });
    return frame.format === "I420" ? frame.clone() : createImageBitmap(frame);
  }

  /** Makes the decoder ready for a group's key picture. */
  private begin(group: Shown) {
    for (const frame of this.frames.splice(0)) frame.close();
    const { config } = group.pictures;
    const decoder = this.decoder?.state === "configured" ? this.decoder : this.make();
    if (!this.flushed || !this.config || !sameConfig(this.config, config)) {
      decoder.reset();
      decoder.configure(config);
      this.config = config;
    }
    this.round++;
    this.group = group;
    this.fed = 0;
    this.out = 0;
    this.flushed = false;
  }

  private make(): VideoDecoder {
    this.broken = undefined;
    this.config = undefined;
    const decoder: VideoDecoder = new VideoDecoder({
      output: (frame) => {
        if (this.decoder !== decoder) return frame.close();
        this.frames.push(frame);
        this.wake?.();
      },
      error: (error) => {
        if (this.decoder === decoder) this.broken = error;
        this.wake?.();
      },
    });
    decoder.addEventListener("dequeue", () => this.wake?.());
    this.decoder = decoder;
    return decoder;
  }

  private drop() {
    for (const frame of this.frames.splice(0)) frame.close();
    if (this.decoder && this.decoder.state !== "closed") this.decoder.close();
    this.decoder = undefined;
    this.group = undefined;
    this.wake?.();
  }
}

function sameConfig(a: VideoDecoderConfig, b: VideoDecoderConfig): boolean {
  const bytes = (config: VideoDecoderConfig) => String(config.description ?? "");
  return a.codec === b.codec && a.codedWidth === b.codedWidth && a.codedHeight === b.codedHeight && bytes(a) === bytes(b);
}

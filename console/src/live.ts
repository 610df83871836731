// Live pictures: fragments over a WebSocket into Media Source Extensions, kept near the live edge.

import { liveUrl, mjpegUrl, type Stream } from "./api";
import { h } from "./dom";

/** A picture on show and how to end it. */
export interface Player {
  element: HTMLElement;
  /** The time of the frame on show, milliseconds since the epoch, if known. */
  frameTime(): number | undefined;
  close(): void;
}

interface Hello {
  mime?: string;
  /** Capture time of media time zero, milliseconds since the epoch. */
  epoch_ms?: number;
  error?: string;
}

const BEHIND_MAX_S = 1.5;
const KEEP_S = 20;

/** A player for a stream that is live now. */
export function playLive(stream: Stream, controls: boolean): Player {
  const video = stream.tracks.find((t) => t.kind === "video");
  if (video?.codec === "mjpeg") return playMjpeg(stream.name);
  return new LivePlayer(stream.name, controls);
}

function playMjpeg(name: string): Player {
  const image = h("img", { src: mjpegUrl(name), alt: `Live picture of ${name}` });
  return { element: image, frameTime: () => undefined, close: () => image.removeAttribute("src") };
}

class LivePlayer implements Player {
  readonly element: HTMLVideoElement;
  private socket: WebSocket | undefined;
  private buffer: SourceBuffer | undefined;
  private source: MediaSource | undefined;
  private waiting: ArrayBuffer[] = [];
  private epoch: number | undefined;
  private closed = false;
  private retry: number | undefined;
  private retryMs = 500;
  private url: string | undefined;

  constructor(private readonly name: string, sound: boolean) {
    this.element = h("video", { muted: true, autoplay: true, playsInline: true, "aria-label": `Live picture of ${name}` });
    this.element.controls = false;
    if (sound) this.element.addEventListener("dblclick", () => (this.element.muted = !this.element.muted));
    this.connect();
  }

  frameTime() {
    return this.epoch === undefined || this.element.readyState < 2 ? undefined : this.epoch + this.element.currentTime * 1000;
  }

  close() {
    this.closed = true;
    window.clearTimeout(this.retry);
    this.socket?.close();
    this.reset();
    this.element.removeAttribute("src");
    this.element.load();
  }

  private connect() {
    const socket = new WebSocket(liveUrl(this.name));
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onmessage = (e: MessageEvent<string | ArrayBuffer>) => {
      if (typeof e.data === "string") this.hello(JSON.parse(e.data) as Hello);
      else this.feed(e.data);
    };
    socket.onopen = () => (this.retryMs = 500);
    socket.onclose = () => {
      if (this.closed || this.socket !== socket) return;
      this.retry = window.setTimeout(() => this.connect(), this.retryMs);
      this.retryMs = Math.min(10_000, this.retryMs * 2);
    };
  }

  /** The stream's description comes before its first fragment, and again when it changes. */
  private hello(hello: Hello) {
    if (hello.epoch_ms !== undefined) this.epoch = hello.epoch_ms;
    if (!hello.mime) return;
    this.reset();
    if (!MediaSource.isTypeSupported(hello.mime)) {
      this.element.dataset["problem"] = `This browser can't play ${hello.mime}`;
      return;
    }
    const source = new MediaSource();
    this.source = source;
    this.url = URL.createObjectURL(source);
    this.element.src = this.url;
    const mime = hello.mime;
    source.addEventListener("sourceopen", () => {
      if (this.source !== source || source.readyState !== "open") return;
      this.buffer = source.addSourceBuffer(mime);
      this.buffer.addEventListener("updateend", () => this.pump());
      this.pump();
    }, { once: true });
  }

  private reset() {
    this.waiting = [];
    this.buffer = undefined;
    this.source = undefined;
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = undefined;
  }

  private feed(data: ArrayBuffer) {
    if (!this.source) return;
    this.waiting.push(data);
    this.pump();
  }

  private pump() {
    const buffer = this.buffer;
    if (!buffer || buffer.updating || this.source?.readyState !== "open") return;
    const video = this.element;
    const ranges = buffer.buffered;
    if (ranges.length > 0) {
      const end = ranges.end(ranges.length - 1);
      const start = ranges.start(ranges.length - 1);
      if (video.currentTime < start || end - video.currentTime > BEHIND_MAX_S) video.currentTime = Math.max(start, end - 0.3);
      if (video.paused && !video.dataset["paused"]) void video.play().catch(() => undefined);
      if (ranges.start(0) < end - 2 * KEEP_S) {
        buffer.remove(0, end - KEEP_S);
        return;
      }
    }
    const next = this.waiting.shift();
    if (next) buffer.appendBuffer(next);
  }
}

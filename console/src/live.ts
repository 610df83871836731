// Live pictures: fragments over a WebSocket into Media Source Extensions, kept near the live edge.

import { liveUrl, mjpegUrl, type Stream } from "./api";
import { h } from "./dom";
import { Notices, type LiveMessage, type Notice } from "./notice";

/** A picture on show and how to end it. */
export interface Player {
  element: HTMLElement;
  /** What plays in it; a browser shows MJPEG without. */
  video?: HTMLVideoElement;
  /** The time of the frame on show, milliseconds since the epoch, if known. */
  frameTime(): number | undefined;
  close(): void;
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
  readonly element: HTMLElement;
  readonly video: HTMLVideoElement;
  private readonly note = h("p", { class: "notice", role: "status" });
  private readonly notices = new Notices();
  private noteEnd: number | undefined;
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
    this.video = h("video", { muted: true, autoplay: true, playsInline: true, "aria-label": `Live picture of ${name}` });
    this.video.controls = false;
    if (sound) this.video.addEventListener("dblclick", () => (this.video.muted = !this.video.muted));
    this.element = h("div", { class: "player" }, this.video, this.note);
    this.connect();
  }

  frameTime() {
    return this.epoch === undefined || this.video.readyState < 2 ? undefined : this.epoch + this.video.currentTime * 1000;
  }

  close() {
    this.closed = true;
    window.clearTimeout(this.retry);
    window.clearTimeout(this.noteEnd);
    this.socket?.close();
    this.reset();
    this.video.removeAttribute("src");
    this.video.load();
  }

  private connect() {
    const socket = new WebSocket(liveUrl(this.name));
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onmessage = (e: MessageEvent<string | ArrayBuffer>) => {
      if (typeof e.data === "string") this.told(JSON.parse(e.data) as LiveMessage);
      else this.feed(e.data);
    };
    socket.onopen = () => {
      this.retryMs = 500;
      this.say(this.notices.connected(Date.now()));
    };
    socket.onclose = () => {
      if (this.closed || this.socket !== socket) return;
      this.say(this.notices.disconnected(Date.now()));
      this.retry = window.setTimeout(() => this.connect(), this.retryMs);
      this.retryMs = Math.min(10_000, this.retryMs * 2);
    };
  }

  /** Shows a sentence over the picture, or none. */
  private say(notice: Notice | undefined) {
    window.clearTimeout(this.noteEnd);
    const text = notice?.text ?? "";
    // A reader of the screen speaks each change, so the same is not written again.
    if (this.note.textContent !== text) this.note.textContent = text;
    if (notice?.ms !== undefined) this.noteEnd = window.setTimeout(() => this.say(undefined), notice.ms);
  }

  /** The stream's description comes before its first fragment, and again when it changes. */
  private told(message: LiveMessage) {
    this.say(this.notices.message(message, Date.now()));
    if (message.epoch_ms !== undefined) this.epoch = message.epoch_ms;
    if (!message.mime) return;
    this.reset();
    if (!MediaSource.isTypeSupported(message.mime)) {
      this.say(this.notices.message({ error: `this browser can't play ${message.mime}` }, Date.now()));
      return;
    }
    const source = new MediaSource();
    this.source = source;
    this.url = URL.createObjectURL(source);
    this.video.src = this.url;
    const mime = message.mime;
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
    const { video } = this;
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

// One stream: the picture, and the timeline under it.

import { api, type Stream } from "../api";
import { h, poll, type View } from "../dom";
import { full } from "../format";
import { playLive, type Player } from "../live";
import { openRecording } from "../playback/open";
import type { RecordingPlayer } from "../playback/player";
import { Timeline } from "../timeline";
import { outOf, pan, reveal, type Range } from "../timeline-core";
import { keysHelp } from "./help";
import { Selection } from "./selection";
import { describe } from "./streams";
import { Transport, TRANSPORT_KEYS, type Driven } from "./transport";

const KEYS: [string, string][] = [
  ...TRANSPORT_KEYS, ["← →", "5 seconds back or on"], ["+ −", "zoom"],
  ["i o", "selection from, to"], ["n", "live: now"], ["Home End", "oldest, newest"], ["?", "this list"],
];

export function streamView(name: string): View {
  return new StreamView(name);
}

class StreamView implements View {
  readonly element: HTMLElement;
  private readonly screen = h("div", { class: "screen" });
  private readonly when = h("output", { class: "when" }, "–");
  private readonly facts = h("div", { class: "facts" });
  private readonly message = h("p", { class: "message", role: "status" });
  private readonly transport = new Transport(() => this.driven());
  private readonly liveButton = h("button", { type: "button", title: "Live (n)", onclick: () => this.goLive() }, "Live");
  private readonly selection: Selection;
  private readonly help = keysHelp(KEYS);
  private readonly timeline: Timeline;
  private stream: Stream | undefined;
  private player: Player | undefined;
  private recording: RecordingPlayer | undefined;
  /** Counts what was put on show, so that what is loaded late does not replace it. */
  private shows = 0;
  private all: Range[] = [];
  private loading = 0;
  private readonly stops: (() => void)[] = [];

  constructor(private readonly name: string) {
    this.timeline = new Timeline({
      seek: (t) => this.seek(t),
      moved: () => this.wantSpans(),
      selected: (s) => this.selection.show(s),
    });
    this.selection = new Selection(name, () => this.timeline.select(undefined));
    const button = (text: string, label: string, onclick: () => void) => h("button", { type: "button", "aria-label": label, title: label, onclick }, text);
    this.element = h(
      "section",
      { class: "stream" },
      h("h1", {}, name),
      this.facts,
      this.screen,
      h("div", { class: "row controls" }, this.transport.element, this.liveButton, this.when, h("span", { class: "fill" }),
        button("−", "Zoom out", () => this.timeline.zoomBy(2)), button("+", "Zoom in", () => this.timeline.zoomBy(0.5)),
        ...([["1 min", 60e3], ["1 h", 3600e3], ["1 d", 86400e3], ["30 d", 30 * 86400e3]] as const).map(([text, ms]) => button(text, `Show ${text}`, () => this.showLength(ms))),
        button("?", "Keys", () => this.help.showModal())),
      this.timeline.element,
      this.selection.element,
      this.message,
      this.help,
    );
    const onkey = (e: KeyboardEvent) => this.key(e);
    document.addEventListener("keydown", onkey);
    this.stops.push(() => document.removeEventListener("keydown", onkey));
    this.stops.push(poll(2000, () => this.refresh()));
    let frame = requestAnimationFrame(function step(this: StreamView) {
      this.tick();
      frame = requestAnimationFrame(step.bind(this));
    }.bind(this));
    this.stops.push(() => cancelAnimationFrame(frame));
    void this.begin();
  }

  close() {
    this.stops.forEach((stop) => stop());
    this.shows++;
    this.selection.close();
    this.player?.close();
    this.recording?.close();
    this.timeline.close();
  }

  /** Live if it is live; else where the recording ends. */
  private async begin() {
    await this.refresh().catch((e: unknown) => this.tell(e));
    const last = this.all[this.all.length - 1];
    if (last && this.stream?.state !== "live") {
      this.timeline.show(reveal(this.timeline.view, last.to, 0.9));
      this.seek(Math.max(last.from, last.to - 10_000));
    }
  }

  private async refresh() {
    const streams = await api.streams();
    this.stream = streams.find((s) => s.name === this.name);
    if (!this.stream) {
      this.message.textContent = `There is no stream ${this.name}.`;
      return;
    }
    this.facts.replaceChildren(...describe(this.stream));
    this.liveButton.disabled = this.stream.state !== "live";
    if (this.stream.state === "live" && !this.player && this.shows === 0) this.goLive();
    this.all = (await api.allSpans(this.name)).map((s) => ({ from: Date.parse(s.start), to: Date.parse(s.end) }));
    this.recording?.setSpans([this.all], this.stream.state === "live");
    await this.loadSpans();
  }

  private wantSpans() {
    window.clearTimeout(this.loading);
    this.loading = window.setTimeout(() => void this.loadSpans().catch(() => undefined), 120);
  }

  private async loadSpans() {
    const { from, to } = this.timeline.view;
    const margin = to - from;
    const pixel = (to - from) / Math.max(300, this.timeline.element.clientWidth);
    const spans = await api.spans(this.name, new Date(from - margin), new Date(to + margin), pixel);
    this.timeline.out = [outOf(spans)];
    this.timeline.lanes = [spans.map((s) => ({ from: Date.parse(s.start), to: Date.parse(s.end) }))];
    this.timeline.draw();
  }

  private goLive() {
    if (this.stream?.state !== "live") return;
    this.clear();
    this.player = playLive(this.stream, true);
    this.put(this.player.element, true);
    this.timeline.head = undefined;
    this.timeline.show(reveal(this.timeline.view, Date.now(), 0.9));
  }

  private clear() {
    this.shows++;
    this.player?.close();
    this.recording?.close();
    this.player = undefined;
    this.recording = undefined;
    this.message.textContent = "";
  }

  private put(element: HTMLElement, live: boolean) {
    this.screen.replaceChildren(element);
    this.screen.classList.toggle("live", live);
  }

  /** Shows the recording at an instant. */
  private seek(t: number, then: (recording: RecordingPlayer) => void = () => undefined) {
    if (this.all.length === 0) {
      this.message.textContent = "Nothing is recorded yet.";
      return;
    }
    if (this.recording) {
      this.recording.seek(t);
      then(this.recording);
    } else {
      this.clear();
      void this.open(t, this.shows, then).catch((e: unknown) => this.tell(e));
    }
    this.timeline.moveHead(t, true);
  }

  private async open(t: number, show: number, then: (recording: RecordingPlayer) => void) {
    const { stream } = this;
    if (!stream) return;
    const recording = await openRecording(stream, t, {
      say: (text) => (this.message.textContent = text),
      changed: () => this.transport.update(),
    });
    if (show !== this.shows) return recording.close();
    this.recording = recording;
    recording.setSpans([this.all], this.stream?.state === "live");
    recording.seek(t);
    this.put(recording.element, false);
    then(recording);
  }

  /** What the transport drives: the recording; from live on, pausing and going back lead into it. */
  private driven(): Driven | undefined {
    const { recording, player } = this;
    if (recording) return recording;
    if (!player) return undefined;
    const video = player.video;
    const now = () => player.frameTime() ?? Date.now();
    return {
      speed: 1,
      paused: Boolean(video?.paused),
      pause: () => this.pauseLive(true),
      play: () => this.pauseLive(false),
      setSpeed: (speed) => this.seek(now(), (r) => r.setSpeed(speed)),
      step: (direction) => this.seek(now(), (r) => r.step(direction)),
    };
  }

  private pauseLive(paused: boolean) {
    const video = this.player?.video;
    if (!video) return;
    if (paused) {
      video.dataset["paused"] = "yes";
      video.pause();
    } else {
      delete video.dataset["paused"];
      void video.play().catch(() => undefined);
    }
  }

  private get live() {
    return this.player !== undefined;
  }

  private tick() {
    const t = this.recording ? this.recording.time() : this.player?.frameTime();
    const playing = this.live && !this.player?.video?.paused;
    this.transport.update();
    this.liveButton.classList.toggle("on", playing);
    const text = t === undefined ? (this.live ? "live" : "–") : full(new Date(t));
    if (this.when.textContent !== text) this.when.textContent = text;
    if (t !== undefined && t !== this.timeline.head && !playing) this.timeline.moveHead(t, false);
    if (playing) this.follow();
  }

  /** Keeps now in view while live, if it was. */
  private follow() {
    const { from, to } = this.timeline.view;
    const now = Date.now();
    const pixel = (to - from) / Math.max(300, this.timeline.element.clientWidth);
    const edge = to - 0.02 * (to - from);
    if (now > edge && now < to + (to - from) && now - edge > pixel) this.timeline.show(pan(this.timeline.view, now - edge));
  }

  private showLength(ms: number) {
    const { from, to } = this.timeline.view;
    this.timeline.zoomBy(ms / (to - from));
  }

  private jump(seconds: number) {
    const t = this.recording ? this.recording.time() : this.player?.frameTime();
    this.seek((t ?? Date.now()) + seconds * 1000);
  }

  private key(e: KeyboardEvent) {
    const typing = e.target instanceof HTMLInputElement;
    if (typing || e.ctrlKey || e.metaKey || e.altKey || this.help.open) return;
    const at = this.timeline.head ?? Date.now();
    const selection = this.timeline.selection;
    const actions: Record<string, () => void> = {
      ArrowLeft: () => this.jump(-5),
      ArrowRight: () => this.jump(5),
      "+": () => this.timeline.zoomBy(0.5),
      "=": () => this.timeline.zoomBy(0.5),
      "-": () => this.timeline.zoomBy(2),
      i: () => this.timeline.select({ from: at, to: Math.max(selection?.to ?? 0, at + 10_000) }),
      o: () => this.timeline.select({ from: Math.min(selection?.from ?? at - 10_000, at - 1), to: at }),
      n: () => this.goLive(),
      Home: () => this.seek(this.all[0]?.from ?? at),
      End: () => this.seek((this.all[this.all.length - 1]?.to ?? at) - 5_000),
      "?": () => this.help.showModal(),
      Escape: () => this.timeline.select(undefined),
    };
    const action = this.transport.key(e.key) ?? actions[e.key];
    if (!action || (e.key === " " && e.target instanceof HTMLButtonElement)) return;
    e.preventDefault();
    action();
  }

  private tell(error: unknown) {
    this.message.textContent = error instanceof Error ? error.message : String(error);
  }
}

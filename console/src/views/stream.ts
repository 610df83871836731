// One stream: the picture, and the timeline under it.

import { api, type Stream } from "../api";
import { h, poll, type View } from "../dom";
import { exportRange } from "../exporter";
import { bytes, duration, full } from "../format";
import { playLive, type Player } from "../live";
import { RecordedPlayer } from "../recorded";
import { Timeline } from "../timeline";
import { pan, reveal, spanNear, type Range } from "../timeline-core";
import { describe } from "./streams";

const KEYS: [string, string][] = [
  ["space", "play or pause"], ["← →", "5 seconds back or on"], [", .", "a frame back or on"], ["+ −", "zoom"],
  ["i o", "selection from, to"], ["l", "live"], ["Home End", "oldest, newest"], ["?", "this list"],
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
  private readonly playButton = h("button", { type: "button", onclick: () => this.toggle() }, "Pause");
  private readonly liveButton = h("button", { type: "button", onclick: () => this.goLive() }, "Live");
  private readonly exporting = h("div", { class: "row export", hidden: true });
  private readonly help = h("dialog", {}, h("h2", {}, "Keys"), h("dl", {}, ...KEYS.flatMap(([key, what]) => [h("dt", {}, key), h("dd", {}, what)])));
  private readonly timeline: Timeline;
  private stream: Stream | undefined;
  private player: Player | undefined;
  private live = false;
  private all: Range[] = [];
  private loading = 0;
  private download: AbortController | undefined;
  private readonly stops: (() => void)[] = [];

  constructor(private readonly name: string) {
    this.timeline = new Timeline({
      seek: (t) => this.seek(t),
      moved: () => this.wantSpans(),
      selected: (s) => this.showSelection(s),
    });
    const button = (text: string, label: string, onclick: () => void) => h("button", { type: "button", "aria-label": label, title: label, onclick }, text);
    this.element = h(
      "section",
      { class: "stream" },
      h("h1", {}, name),
      this.facts,
      this.screen,
      h("div", { class: "row controls" }, this.playButton, this.liveButton, this.when, h("span", { class: "fill" }),
        button("−", "Zoom out", () => this.timeline.zoomBy(2)), button("+", "Zoom in", () => this.timeline.zoomBy(0.5)),
        ...([["1 min", 60e3], ["1 h", 3600e3], ["1 d", 86400e3], ["30 d", 30 * 86400e3]] as const).map(([text, ms]) => button(text, `Show ${text}`, () => this.showLength(ms))),
        button("?", "Keys", () => this.help.showModal())),
      this.timeline.element,
      this.exporting,
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
    this.download?.abort();
    this.player?.close();
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
    if (this.stream.state === "live" && !this.player) this.goLive();
    this.all = (await api.allSpans(this.name)).map((s) => ({ from: Date.parse(s.start), to: Date.parse(s.end) }));
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
    this.timeline.spans = spans.map((s) => ({ from: Date.parse(s.start), to: Date.parse(s.end) }));
    this.timeline.draw();
  }

  private put(player: Player, live: boolean) {
    this.player?.close();
    this.player = player;
    this.live = live;
    this.screen.replaceChildren(player.element);
    this.screen.classList.toggle("live", live);
    this.message.textContent = "";
  }

  private goLive() {
    if (this.stream?.state !== "live") return;
    this.put(playLive(this.stream, true), true);
    this.timeline.head = undefined;
    this.timeline.show(reveal(this.timeline.view, Date.now(), 0.9));
  }

  private seek(t: number) {
    const span = spanNear(this.all, t);
    if (!span) {
      this.message.textContent = "Nothing is recorded yet.";
      return;
    }
    const last = this.all[this.all.length - 1];
    const from = Math.min(Math.max(t, span.from), span.to - 200);
    const to = Math.min(last?.to ?? span.to, from + 3_600_000);
    this.put(new RecordedPlayer(this.name, from, to, (why) => (this.message.textContent = why)), false);
    this.timeline.moveHead(from, true);
    if (t < span.from || t > span.to) this.message.textContent = "Nothing was recorded then: playing the nearest span.";
  }

  private toggle() {
    const video = this.video();
    if (!video) return;
    if (video.paused) {
      delete video.dataset["paused"];
      void video.play().catch(() => undefined);
    } else {
      video.dataset["paused"] = "yes";
      video.pause();
    }
  }

  private video(): HTMLVideoElement | undefined {
    return this.player?.video;
  }

  private tick() {
    const video = this.video();
    const t = this.player?.frameTime();
    const paused = Boolean(video?.paused);
    this.playButton.textContent = paused ? "Play" : "Pause";
    this.liveButton.classList.toggle("on", this.live && !paused);
    const text = t === undefined ? (this.live ? "live" : "–") : full(new Date(t));
    if (this.when.textContent !== text) this.when.textContent = text;
    if (t !== undefined && t !== this.timeline.head && !(this.live && !paused)) {
      this.timeline.moveHead(t, false);
    }
    if (this.live && !paused) this.follow();
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

  private step(seconds: number) {
    const video = this.video();
    const t = this.player?.frameTime();
    if (video && t !== undefined && !this.live && canSeek(video, video.currentTime + seconds)) video.currentTime += seconds;
    else if (t !== undefined || this.live) this.seek((t ?? Date.now()) + seconds * 1000);
  }

  private frameStep(direction: number) {
    const video = this.video();
    if (!video || this.live) return;
    video.dataset["paused"] = "yes";
    video.pause();
    video.currentTime += direction / 25;
  }

  private key(e: KeyboardEvent) {
    const typing = e.target instanceof HTMLInputElement;
    if (typing || e.ctrlKey || e.metaKey || e.altKey || this.help.open) return;
    const at = this.timeline.head ?? Date.now();
    const selection = this.timeline.selection;
    const actions: Record<string, () => void> = {
      " ": () => this.toggle(),
      ArrowLeft: () => this.step(-5),
      ArrowRight: () => this.step(5),
      ",": () => this.frameStep(-1),
      ".": () => this.frameStep(1),
      "+": () => this.timeline.zoomBy(0.5),
      "=": () => this.timeline.zoomBy(0.5),
      "-": () => this.timeline.zoomBy(2),
      i: () => this.timeline.select({ from: at, to: Math.max(selection?.to ?? 0, at + 10_000) }),
      o: () => this.timeline.select({ from: Math.min(selection?.from ?? at - 10_000, at - 1), to: at }),
      l: () => this.goLive(),
      Home: () => this.seek(this.all[0]?.from ?? at),
      End: () => this.seek((this.all[this.all.length - 1]?.to ?? at) - 5_000),
      "?": () => this.help.showModal(),
      Escape: () => this.timeline.select(undefined),
    };
    const action = actions[e.key];
    if (!action || (e.key === " " && e.target instanceof HTMLButtonElement)) return;
    e.preventDefault();
    action();
  }

  private showSelection(selection: Range | undefined) {
    this.exporting.hidden = !selection;
    if (!selection) return;
    const { from, to } = { from: new Date(selection.from), to: new Date(selection.to) };
    const bar = h("progress", { max: 1, value: 0, "aria-label": "Export progress" });
    const command = `pegasus export ${this.name} --from ${from.toISOString()} --to ${to.toISOString()} -o clip.mp4`;
    const said = h("span", { role: "status" });
    const start = h("button", { type: "button", onclick: () => void this.save(from, to, bar, said) }, "Export MP4");
    this.exporting.replaceChildren(
      h("span", {}, `${full(from)} – ${full(to)} (${duration((selection.to - selection.from) / 1000)})`),
      start, bar, said,
      h("button", { type: "button", onclick: () => void navigator.clipboard?.writeText(command) }, "Copy as command"),
      h("button", { type: "button", onclick: () => this.timeline.select(undefined) }, "Clear"),
    );
  }

  private async save(from: Date, to: Date, bar: HTMLProgressElement, said: HTMLElement) {
    this.download?.abort();
    this.download = new AbortController();
    try {
      await exportRange(this.name, from, to, (share, done) => {
        if (share === undefined) bar.removeAttribute("value");
        else bar.value = share;
        said.textContent = bytes(done);
      }, this.download.signal);
      said.textContent += ", saved";
    } catch (error) {
      if (!this.download.signal.aborted) said.textContent = error instanceof Error ? error.message : String(error);
    }
  }

  private tell(error: unknown) {
    this.message.textContent = error instanceof Error ? error.message : String(error);
  }
}

function canSeek(video: HTMLVideoElement, to: number): boolean {
  const ranges = video.seekable;
  return ranges.length > 0 && to >= ranges.start(0) && to <= ranges.end(ranges.length - 1);
}


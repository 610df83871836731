// A recording without a decoder of pictures: the video element plays forwards, and steps and goes
// backwards by seeking, as near to a frame as it can.

import { api } from "../api";
import { h } from "../dom";
import { RecordedPlayer } from "../recorded";
import { nearest } from "./spans";
import { Admission } from "./admission";
import { Refusal } from "./refusal";
import type { PlayerEvents, RecordingPlayer } from "./player";
import type { Range } from "../timeline-core";
import { stamp } from "./time";

/** The element is asked for another place so often while it goes backwards. */
const SEEK_MS = 200;
/** What one frame is taken to last. */
const FRAME_MS = 40;
/** Fastest that elements play. */
const RATE_MAX = 16;
const LONGEST_MS = 3_600_000;

export class SeekingPlayer implements RecordingPlayer {
  readonly element = h("div", { class: "deck" });
  speed = 1;
  paused = false;
  private admitted = false;
  private player: RecordedPlayer | undefined;
  private lanes: Range[][] = [[]];
  private readonly refusal = new Refusal(() => void this.begin());
  private readonly admission: Admission;
  private readonly timer: number;

  constructor(private readonly name: string, private at: number, readonly limited: string, private readonly events: PlayerEvents) {
    this.admission = new Admission(api, [name], () => stamp(this.time()), (why) => this.refuse(why));
    this.element.append(this.refusal.element);
    this.timer = window.setInterval(() => this.back(), SEEK_MS);
    window.addEventListener("pagehide", this.onhide);
    void this.begin();
  }

  close() {
    window.clearInterval(this.timer);
    window.removeEventListener("pagehide", this.onhide);
    this.admission.end();
    this.player?.close();
  }

  time() {
    return this.player?.frameTime() ?? this.at;
  }

  setSpans(lanes: Range[][]) {
    const first = this.lanes.flat().length === 0;
    this.lanes = lanes;
    if (first && this.player === undefined) this.seek(this.at);
  }

  pause() {
    this.paused = true;
    this.player?.video.pause();
    this.events.changed();
  }

  play() {
    this.paused = false;
    const video = this.player?.video;
    if (video && this.speed > 0) {
      video.playbackRate = Math.min(RATE_MAX, this.speed);
      void video.play().catch(() => undefined);
    } else video?.pause();
    this.events.changed();
  }

  setSpeed(speed: number) {
    void this.admission.change(speed).then((why) => {
      if (why) return this.events.say(why);
      this.speed = speed;
      if (speed < 0) this.events.say(this.limited);
      this.play();
    });
  }

  seek(t: number) {
    const from = nearest(this.lanes, t);
    const last = this.lanes.flat().at(-1);
    if (from === undefined || !last) return;
    this.at = Math.min(from, last.to - 200);
    if (!this.admitted) return;
    this.player?.close();
    this.player = new RecordedPlayer(this.name, this.at, Math.min(last.to, this.at + LONGEST_MS), (why) => this.events.say(why));
    this.element.replaceChildren(this.player.element, this.refusal.element);
    if (this.paused) this.player.video.autoplay = false;
    else this.play();
  }

  step(direction: 1 | -1) {
    this.pause();
    this.shift(direction * FRAME_MS);
    this.events.say(this.limited);
  }

  private async begin() {
    this.refusal.hide();
    const why = await this.admission.ask(this.speed);
    if (why) return this.refuse(why);
    this.admitted = true;
    if (this.lanes.flat().length > 0) this.seek(this.at);
  }

  private refuse(why: string) {
    this.admitted = false;
    this.player?.close();
    this.player = undefined;
    this.refusal.show(why);
  }

  /** Goes backwards, by jumps. */
  private back() {
    if (!this.paused && this.speed < 0) this.shift(this.speed * SEEK_MS);
  }

  private shift(ms: number) {
    const { video } = this.player ?? {};
    if (!video || video.seeking) return;
    const to = video.currentTime + ms / 1000;
    const ranges = video.seekable;
    const reachable = ranges.length > 0 && to >= ranges.start(0) && to <= ranges.end(ranges.length - 1);
    if (reachable) video.currentTime = to;
    else this.seek(this.time() + ms);
  }

  private readonly onhide = () => this.admission.end();
}

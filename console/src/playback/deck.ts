// Recordings of up to nine angles on one clock: pictures decoded one by one, so that every speed, both
// directions and single frames are exact. Loaded only when a recording is played.

import { api } from "../api";
import { h } from "../dom";
import { speedText } from "./speed";
import type { Range } from "../timeline-core";
import { Admission } from "./admission";
import { MasterClock, Patience } from "./clock";
import type { PlayerEvents, RecordingPlayer } from "./player";
import { Reel, type Sight } from "./reel";
import { Refusal } from "./refusal";
import { EDGE_MS, extent, nearest, playable } from "./spans";
import { stamp } from "./time";
import { Tile } from "./tile";

/** An angle: where its pictures come from and where they go. */
interface Angle {
  reel: Reel;
  tile: Tile;
}

/** How close the pictures of all angles are to one instant. */
export interface Spread {
  /** Between the earliest and the latest picture on show, milliseconds. */
  ms: number;
  angles: number;
  behind: number;
}

export class Deck implements RecordingPlayer {
  readonly element: HTMLElement;
  readonly limited = undefined;
  /** What was asked for last; the clock runs at it once the node agrees. */
  speed = 1;
  paused = false;
  private going = 1;
  private readonly angles: Angle[];
  private readonly clock: MasterClock;
  private readonly patience: Patience;
  private readonly admission: Admission;
  /** What the node refused while it goes on playing. */
  private readonly notice = h("p", { class: "notice", role: "status" });
  private noticeEnd: ReturnType<typeof setTimeout> | undefined;
  private readonly refusal = new Refusal(() => void this.ask());
  private readonly sign = h("div", { class: "sign", "aria-hidden": "true" });
  private lanes: Range[][];
  private growing = false;
  /** Whether the node lets it play; until it has answered nothing is fetched. */
  private admitted = false;
  /** The chosen angle: steps are by its frames. */
  lead = 0;
  private frame = 0;
  private stepping = false;
  private last: { spread: Spread; behind: boolean[] };

  constructor(
    readonly names: readonly string[],
    at: number,
    private readonly events: PlayerEvents,
  ) {
    this.angles = names.map((name) => this.angle(name));
    this.lanes = names.map(() => []);
    this.last = { spread: { ms: 0, angles: 0, behind: 0 }, behind: names.map(() => false) };
    this.clock = new MasterClock(at);
    this.patience = new Patience(names.length);
    this.admission = new Admission(api, [...names], () => stamp(this.now()), (why) => this.refuse(why));
    const grid = h("div", { class: "angles" }, ...this.angles.map((a) => a.tile.element));
    this.element = h("div", { class: "deck" }, grid, this.sign, this.notice, this.refusal.element);
    const [columns, rows] = shape(names.length);
    this.element.style.cssText = `--columns: ${columns}; --rows: ${rows}`;
    window.addEventListener("pagehide", this.onhide);
    window.addEventListener("pageshow", this.onshow);
    document.addEventListener("visibilitychange", this.onvisible);
    this.choose(0);
    void this.ask();
    this.tick();
  }

  close() {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.noticeEnd);
    window.removeEventListener("pagehide", this.onhide);
    window.removeEventListener("pageshow", this.onshow);
    document.removeEventListener("visibilitychange", this.onvisible);
    this.admission.end();
    for (const { reel } of this.angles) reel.close();
  }

  time() {
    const shown = this.angles[this.lead]?.tile.shown;
    return this.angles.length === 1 ? shown : this.now();
  }

  get spread() {
    return this.last.spread;
  }

  setSpans(lanes: Range[][], growing: boolean) {
    this.lanes = lanes;
    this.growing = growing;
    for (const [i, { reel }] of this.angles.entries()) reel.spans = lanes[i] ?? [];
  }

  pause() {
    this.settle(true);
    // Stands where the picture is, so that the next step is one from what is seen.
    const shown = this.angles[this.lead]?.tile.shown;
    if (shown !== undefined && this.angles.length === 1) this.clock.set(shown, performance.now());
  }

  play() {
    const now = performance.now();
    const end = extent(this.lanes);
    if (end && this.going > 0 && !this.growing && this.now() >= end.to - AT_END_MS) this.clock.set(end.from, now);
    this.settle(false);
  }

  setSpeed(speed: number) {
    this.speed = speed;
    void this.admission.change(speed).then((why) => {
      // Keys may be faster than answers: only the last one counts.
      if (this.speed !== speed) return;
      this.note(why ? `${speedText(speed)} is refused. ${why}` : "");
      this.speed = why ? this.going : speed;
      this.going = this.speed;
      if (!why) this.events.say("");
      this.events.changed();
      this.play();
    });
  }

  private note(text: string) {
    clearTimeout(this.noticeEnd);
    this.notice.textContent = text;
    if (text) this.noticeEnd = setTimeout(() => this.note(""), NOTICE_MS);
  }

  seek(t: number) {
    const to = nearest(this.lanes, t) ?? t;
    this.clock.set(to, performance.now());
    this.patience.jumped();
    this.events.say(Math.abs(to - t) > 1000 && this.lanes.flat().length > 0 ? "Nothing was recorded then: this is the nearest." : "");
  }

  step(direction: 1 | -1) {
    this.settle(true);
    if (this.stepping) return;
    const angle = this.angles[this.lead];
    if (!angle) return;
    this.stepping = true;
    const from = angle.tile.shown ?? this.now();
    void angle.reel.neighbour(from, direction).then((t) => {
      this.stepping = false;
      if (t !== undefined) this.clock.set(t, performance.now());
      this.events.changed();
      this.events.say(t === undefined ? (direction > 0 ? "This is the newest frame." : "This is the oldest frame.") : "");
    });
  }

  /** The angle whose frames are stepped by. */
  choose(index: number) {
    this.lead = index;
    for (const [i, { tile }] of this.angles.entries()) tile.element.classList.toggle("lead", i === index && this.angles.length > 1);
  }

  /** One angle over all others, which go on beneath; the same again shows all. */
  enlarge(index: number) {
    for (const [i, { tile }] of this.angles.entries()) tile.element.classList.toggle("large", i === index && !tile.element.classList.contains("large"));
  }

  private now() {
    return this.clock.time(performance.now());
  }

  private settle(paused: boolean) {
    const now = performance.now();
    this.clock.hold(now);
    this.patience.jumped();
    if (this.paused === paused) return;
    this.paused = paused;
    this.events.changed();
  }

  private angle(name: string): Angle {
    const tile = new Tile(name, this.names.length > 1);
    const index = this.names.indexOf(name);
    tile.element.addEventListener("pointerdown", () => this.choose(index));
    tile.element.addEventListener("dblclick", () => this.enlarge(index));
    const reel = new Reel({
      name,
      angles: this.names.length,
      size: tile.size,
      playback: () => this.admission.id,
      failed: (error) => tile.fail(error instanceof Error ? error.message : String(error), performance.now()),
    });
    return { reel, tile };
  }

  /** One picture of the screen: the clock, then all angles at its instant. */
  private readonly tick = () => {
    this.frame = requestAnimationFrame(this.tick);
    if (!this.admitted || document.hidden) return;
    const now = performance.now();
    const t = this.advance(now);
    const sights = this.angles.map(({ reel }) => reel.sight(t, this.going, this.paused));
    this.pace(sights, now);
    for (const [i, { tile }] of this.angles.entries()) tile.show(sights[i]!, t, now, this.last.behind[i]!);
    this.tell(sights);
  };

  /** The instant to show: across gaps in which no angle has anything, and no further than the ends. */
  private advance(now: number): number {
    const t = this.clock.time(now);
    if (this.paused) return t;
    const on = playable(this.lanes, t, this.going);
    if (on === t) return t;
    const all = extent(this.lanes);
    if (!all) return t;
    const to = on ?? (this.going > 0 ? all.to - EDGE_MS : all.from);
    if (on === undefined) this.clock.hold(now);
    this.clock.set(to, now);
    if (on === undefined && !(this.growing && this.going > 0)) {
      this.settle(true);
      this.events.say(this.going > 0 ? "The recording ends here." : "The recording begins here.");
    }
    return to;
  }

  /** Runs the clock, or holds it while pictures are waited for. */
  private pace(sights: Sight[], now: number) {
    const late = sights.map((s) => s.state === "late");
    const waits = this.patience.waits(late, sights.map((s) => s.state !== "none"), now);
    if (this.paused || waits) this.clock.hold(now);
    else this.clock.run(this.going, now);
    this.last.behind = late.map((is) => is && !waits);
    this.element.classList.toggle("waiting", waits && !this.paused);
  }

  private tell(sights: Sight[]) {
    const times = sights.flatMap((s) => (s.state === "shown" && s.picture ? [s.picture.time] : []));
    const behind = this.last.behind.filter(Boolean).length;
    const ms = times.length > 1 ? Math.max(...times) - Math.min(...times) : 0;
    this.last.spread = { ms, angles: times.length, behind };
    this.element.dataset["instant"] = this.now().toFixed(3);
    const sign = this.paused || this.going === 1 ? "" : `${this.going < 0 ? "◀◀" : "▶▶"} ${speedText(this.going)}`;
    if (this.sign.textContent !== sign) this.sign.textContent = sign;
  }

  private async ask() {
    this.refusal.hide();
    const why = await this.admission.ask(this.speed);
    if (why) this.refuse(why);
    else this.admitted = true;
    this.events.changed();
  }

  /** Says why nothing plays, where the pictures would be. */
  private refuse(why: string) {
    this.admitted = false;
    this.clock.hold(performance.now());
    this.refusal.show(why);
    this.events.changed();
  }

  private readonly onhide = () => this.admission.end();
  private readonly onshow = (e: PageTransitionEvent) => e.persisted && void this.ask();
  private readonly onvisible = () => this.clock.hold(performance.now());
}

/** How long a refusal stands over the pictures. */
const NOTICE_MS = 10_000;
/** So near the end, play begins anew. */
const AT_END_MS = 100;

/** Columns and rows of a grid for so many angles. */
export function shape(count: number): [number, number] {
  const columns = Math.max(1, Math.ceil(Math.sqrt(count)));
  return [columns, Math.max(1, Math.ceil(count / columns))];
}

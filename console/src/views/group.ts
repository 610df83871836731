// Several recordings on one clock: a grid of angles, one timeline, one transport.

import { api } from "../api";
import { h, poll, type View } from "../dom";
import { full } from "../format";
import type { Deck } from "../playback/deck";
import { extent } from "../playback/spans";
import { whyNoDecoder } from "../playback/support";
import { Timeline } from "../timeline";
import { outOf, reveal, type Range } from "../timeline-core";
import { groupHash, parseGroup } from "./group-address";
import { keysHelp } from "./help";
import { Transport, TRANSPORT_KEYS } from "./transport";

const KEYS: [string, string][] = [
  ...TRANSPORT_KEYS, ["← →", "5 seconds back or on"], ["1 – 9", "step by this angle's frames"], ["f", "the chosen angle large; again: all"], ["+ −", "zoom"],
  ["Home End", "oldest, newest"], ["?", "this list"],
];

/** So far before the end it begins, if the address does not say. */
const FROM_END_MS = 10_000;

export function groupView(hash: string): View {
  return new GroupView(hash);
}

class GroupView implements View {
  readonly element: HTMLElement;
  private readonly names: string[];
  private readonly at: number | undefined;
  private readonly screen = h("div", { class: "screen group" });
  private readonly when = h("output", { class: "when" }, "–");
  private readonly spread = h("output", { class: "spread", title: "Between the earliest and the latest picture on show" });
  private readonly message = h("p", { class: "message", role: "status" });
  private readonly transport = new Transport(() => this.deck);
  private readonly help = keysHelp(KEYS);
  private readonly timeline: Timeline;
  private deck: Deck | undefined;
  private lanes: Range[][] = [];
  private growing = false;
  private closed = false;
  private readonly stops: (() => void)[] = [];

  constructor(hash: string) {
    ({ names: this.names, at: this.at } = parseGroup(hash));
    this.timeline = new Timeline({ seek: (t) => this.seek(t), moved: () => undefined, selected: () => undefined });
    this.timeline.element.style.setProperty("--lanes", String(this.names.length));
    const button = (text: string, label: string, onclick: () => void) => h("button", { type: "button", "aria-label": label, title: label, onclick }, text);
    this.element = h("section", { class: "stream" },
      h("h1", {}, `${this.names.length} angle${this.names.length === 1 ? "" : "s"}`),
      this.screen,
      h("div", { class: "row controls" }, this.transport.element, this.when, this.spread, h("span", { class: "fill" }),
        button("−", "Zoom out", () => this.timeline.zoomBy(2)), button("+", "Zoom in", () => this.timeline.zoomBy(0.5)),
        button("All", "Show all that is recorded", () => this.showAll()), button("?", "Keys", () => this.help.showModal())),
      this.timeline.element, this.message, this.help);
    const onkey = (e: KeyboardEvent) => this.key(e);
    document.addEventListener("keydown", onkey);
    this.stops.push(() => document.removeEventListener("keydown", onkey));
    void this.begin().catch((e: unknown) => this.say(e instanceof Error ? e.message : String(e)));
  }

  close() {
    this.closed = true;
    this.stops.forEach((stop) => stop());
    this.deck?.close();
    this.timeline.close();
  }

  private async begin() {
    const limited = whyNoDecoder();
    if (limited !== undefined) {
      this.screen.replaceChildren(h("div", { class: "refusal", role: "alert" }, h("strong", {}, "Angles can't be played together here"), h("p", {}, limited)));
      return;
    }
    if (this.names.length === 0) return this.say("No streams are chosen: tick some in the list of streams.");
    const [{ Deck }] = await Promise.all([import("../playback/deck"), this.refresh()]);
    if (this.closed) return;
    const all = extent(this.lanes);
    const at = this.at ?? (all ? Math.max(all.from, all.to - FROM_END_MS) : Date.now());
    this.deck = new Deck(this.names, at, { say: (text) => this.say(text), changed: () => this.changed() });
    this.deck.setSpans(this.lanes, this.growing);
    if (all) this.deck.seek(at);
    this.screen.replaceChildren(this.deck.element);
    this.timeline.show(around(at, all));
    this.stops.push(poll(2000, () => this.refresh()));
    this.run();
  }

  private async refresh() {
    const [streams, ...spans] = await Promise.all([api.streams(), ...this.names.map((name) => api.allSpans(name).catch(() => []))]);
    this.lanes = spans.map((list) => list.map((s) => ({ from: Date.parse(s.start), to: Date.parse(s.end) })));
    this.growing = streams.some((s) => s.state === "live" && this.names.includes(s.name));
    this.timeline.out = spans.map(outOf);
    this.timeline.lanes = this.lanes;
    this.timeline.draw();
    this.deck?.setSpans(this.lanes, this.growing);
  }

  private run() {
    let frame = requestAnimationFrame(function step(this: GroupView) {
      this.tick();
      frame = requestAnimationFrame(step.bind(this));
    }.bind(this));
    this.stops.push(() => cancelAnimationFrame(frame));
  }

  private tick() {
    const { deck } = this;
    if (!deck) return;
    this.transport.update();
    const t = deck.time();
    if (t === undefined) return;
    write(this.when, full(new Date(t)));
    if (t !== this.timeline.head) this.timeline.moveHead(t, false);
    const { ms, angles, behind } = deck.spread;
    write(this.spread, angles < 2 ? "" : `${angles} angles within ${Math.round(ms)} ms${behind ? `, ${behind} catching up` : ""}`);
    this.spread.classList.toggle("behind", behind > 0);
  }

  private changed() {
    this.transport.update();
    // The address says where one is, to come back or to pass on; only when it stands, lest it floods.
    const t = this.deck?.paused ? this.deck.time() : undefined;
    if (t !== undefined) history.replaceState(history.state, "", groupHash(this.names, t));
  }

  private say(text: string) {
    this.message.textContent = text;
  }

  private seek(t: number) {
    this.deck?.seek(t);
    this.timeline.moveHead(t, true);
    this.changed();
  }

  private showAll() {
    const all = extent(this.lanes);
    if (!all) return;
    const margin = (all.to - all.from) * 0.02;
    this.timeline.show({ from: all.from - margin, to: all.to + margin });
  }

  private key(e: KeyboardEvent) {
    const typing = e.target instanceof HTMLInputElement;
    if (typing || e.ctrlKey || e.metaKey || e.altKey || this.help.open) return;
    const all = extent(this.lanes);
    const at = this.deck?.time() ?? Date.now();
    const actions: Record<string, () => void> = {
      ArrowLeft: () => this.seek(at - 5000),
      ArrowRight: () => this.seek(at + 5000),
      "+": () => this.timeline.zoomBy(0.5),
      "=": () => this.timeline.zoomBy(0.5),
      "-": () => this.timeline.zoomBy(2),
      f: () => this.deck?.enlarge(this.deck.lead),
      Home: () => this.seek(all?.from ?? at),
      End: () => this.seek((all?.to ?? at) - 5000),
      "?": () => this.help.showModal(),
    };
    const angle = Number(e.key) - 1;
    const choose = angle >= 0 && angle < this.names.length ? () => this.deck?.choose(angle) : undefined;
    const action = this.transport.key(e.key) ?? actions[e.key] ?? choose;
    if (!action || (e.key === " " && e.target instanceof HTMLButtonElement)) return;
    e.preventDefault();
    action();
  }
}

function write(element: HTMLElement, text: string) {
  if (element.textContent !== text) element.textContent = text;
}

/** A view of the timeline that begins with all that is recorded if that is short, else with the minutes about `t`. */
function around(t: number, all: Range | undefined): Range {
  const wide = { from: t - 300_000, to: t + 300_000 };
  if (!all || all.to - all.from > 900_000) return reveal(wide, t);
  const margin = Math.max(1000, (all.to - all.from) * 0.03);
  return { from: all.from - margin, to: all.to + margin };
}

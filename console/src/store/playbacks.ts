// Promised playbacks: who has the disks' time, who plays, and how the promises are kept.

import { api, type Playing, type Promises } from "../api";
import { h } from "../dom";
import { bytes, rate } from "../format";
import { noPromiseText, percentText, playingKey, roomText, scaleText, shares, slownessText, totals, type Share, type Total } from "./promises";
import { cell, Rows, say, table, type Row } from "./rows";
import { Section, type Part } from "./section";

export function playbacksPart(): Part {
  const time = new SharesBar();
  const none = h("p", { class: "notice-line", hidden: true });
  const slow = h("p", { class: "notice-line", role: "alert", hidden: true });
  const room = h("p");
  const figures = new Figures();
  const rows = new Rows<Playing>(playingKey, row, "Nobody plays under a promise.");
  const list = table("stacked players", ["Stream", "Speed", "Reserved", "Mean", "Peak", "Ahead", "Late"], rows.body);
  const promised = h("div", {}, time.element, room, figures.element, list);
  const section = new Section("Playbacks", 2, none, slow, promised);

  const show = (promises: Promises) => {
    none.hidden = promises.guaranteed;
    promised.hidden = !promises.guaranteed;
    if (!promises.guaranteed) say(none, noPromiseText(promises));
    const slowness = promises.guaranteed ? slownessText(promises) : undefined;
    slow.hidden = slowness === undefined;
    say(slow, slowness ?? "");
    if (!promises.guaranteed) return;
    time.show(shares(promises));
    say(room, roomText(promises));
    figures.show(totals(promises));
    rows.show(promises.playbacks);
  };
  return { element: section.element, everyMs: 2000, load: () => section.refresh(api.promises, show) };
}

function row(first: Playing): Row<Playing> {
  const number = (label: string) => {
    const td = cell(label);
    td.classList.add("number");
    return td;
  };
  const speed = cell("Speed");
  const [reserved, mean, peak, ahead, late] = [number("Reserved"), number("Mean"), number("Peak"), number("Read ahead"), number("Late")];
  const element = h("tr", {}, cell("Stream", h("a", { href: `#/stream${first.stream}` }, ...breakable(first.stream))), speed, reserved, mean, peak, ahead, late);
  const update = (one: Playing) => {
    say(speed, scaleText(one.scale));
    say(reserved, rate(one.reserved_bps));
    say(mean, rate(one.mean_bps));
    say(peak, rate(one.peak_bps));
    say(ahead, bytes(one.held_bytes));
    say(late, one.late_blocks ? `${one.late_blocks} late` : "none");
    element.classList.toggle("late", one.late_blocks > 0);
  };
  return { element, update };
}

/** A name that is broken behind its slashes, where it must be. */
const breakable = (name: string) => name.split("/").flatMap((part, at) => (at ? ["/", h("wbr"), part] : [part]));

/** Counts since the node started, side by side. */
class Figures {
  private readonly counts = new Map<string, HTMLElement>();
  private readonly list = h("dl", { class: "figures" });
  readonly element = h("div", {}, h("p", { class: "dim" }, "Since the node started:"), this.list);

  show(all: Total[]) {
    for (const { name, count, broken } of all) {
      const figure = this.counts.get(name) ?? this.add(name);
      say(figure, String(count));
      figure.classList.toggle("problem", broken);
    }
  }

  private add(name: string): HTMLElement {
    const figure = h("dd");
    this.list.append(h("div", {}, h("dt", {}, name), figure));
    this.counts.set(name, figure);
    return figure;
  }
}

/** The disks' time as one bar, with what its parts are below it. */
class SharesBar {
  private readonly bar = h("div", { class: "bar shares", role: "img" });
  private readonly legend = h("ul", { class: "legend" });
  private readonly parts = new Map<string, { part: HTMLElement; percent: HTMLElement }>();
  readonly element = h("div", {}, this.bar, this.legend);

  show(all: Share[]) {
    for (const { kind, name, percent } of all) {
      const { part, percent: text } = this.parts.get(kind) ?? this.add(kind, name);
      part.style.width = `${percent.toFixed(2)}%`;
      say(text, percentText(percent));
    }
    this.bar.setAttribute("aria-label", `The disks' time: ${all.map(({ name, percent }) => `${name} ${percentText(percent)}`).join(", ")}`);
  }

  private add(kind: string, name: string) {
    const made = { part: h("div", { class: kind }), percent: h("strong") };
    this.bar.append(made.part);
    this.legend.append(h("li", { class: kind }, name, " ", made.percent));
    this.parts.set(kind, made);
    return made;
  }
}

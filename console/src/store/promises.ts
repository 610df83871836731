// What is promised to playbacks, as shares of the disks' time and sentences. Pure.

import type { Playing, Promises } from "../api";
import { rate } from "../format";
import { sentence } from "../notice";
import { speedText } from "../playback/speed";

/** A share of the disks' time. */
export interface Share {
  kind: "recording" | "promised" | "others" | "free";
  name: string;
  percent: number;
}

/** Who has the disks' time; together 100 percent. */
export function shares(p: Promises): Share[] {
  const recording = clamp(p.recording_percent, 100);
  const aside = clamp(p.aside_percent, 100 - recording);
  const others = clamp(p.others_percent, 100 - recording - aside);
  const left = 100 - recording - aside - others;
  const promised = aside + (left * clamp(p.promised_percent, 100)) / 100;
  return [
    { kind: "recording", name: "Recordings", percent: recording },
    { kind: "promised", name: "Promised", percent: promised },
    { kind: "others", name: "Kept for others", percent: others },
    { kind: "free", name: "Free", percent: left + aside - promised },
  ];
}

const clamp = (n: number, most: number) => Math.min(most, Math.max(0, n));

/** A tenth of a percent counts only where there are few. */
export function percentText(percent: number): string {
  if (percent <= 0) return "0 %";
  if (percent < 0.1) return "under 0.1 %";
  return `${percent < 9.95 ? percent.toFixed(1).replace(/\.0$/, "") : percent.toFixed(0)} %`;
}

/** `2×`, or `1× backwards`. */
export const scaleText = (scale: number) => `${speedText(scale)}${scale < 0 ? " backwards" : ""}`;

/** What would be admitted now. */
export function roomText(p: Promises): string {
  if (p.waiting > 0) return `${p.waiting === 1 ? "One waits" : `${p.waiting} wait`} in line for a promise.`;
  return p.fits_bps > 0 ? `A playback of up to ${rate(p.fits_bps)} more would be admitted now.` : "No more playbacks would be admitted now.";
}

/** A count since the node started. */
export interface Total {
  name: string;
  count: number;
  /** It means that a promise was not kept. */
  broken: boolean;
}

/** What became of what was asked for. */
export function totals(p: Promises): Total[] {
  const kept = (name: string, count: number) => ({ name, count, broken: false });
  const broken = (name: string, count: number) => ({ name, count, broken: count > 0 });
  return [kept("admitted", p.admitted), kept("refused", p.refused), broken("taken back", p.withdrawn), broken("late blocks", p.late_blocks)];
}

/** That the disks are slower than they should be, if they are by so much that it can be told. */
export function slownessText(p: Promises): string | undefined {
  const times = Number(p.slowdown.toFixed(2));
  if (times <= 1) return undefined;
  const anew = p.measurement ? ` They are being measured anew: ${measuredText(p.measurement)}.` : "";
  return `The disks take ${times} times as long as their profile says. Less is promised for as long as that lasts, and the newest playbacks may be ended.${anew}`;
}

/** Why nothing is promised. */
export function noPromiseText({ state, reason, measurement }: Promises): string {
  switch (state) {
    case "failed":
      return `${sentence(`The node gives no promises: ${reason ?? "it can't"}`)} ${ANYTHING}`;
    case "disabled":
      return `The node gives no promises, as its configuration asks for none (guaranteed = false in [playback]). ${ANYTHING}`;
    default:
      return `The node gives no promises yet: it is still measuring ${measuredText(measurement)}. ${ANYTHING}`;
  }
}

const measuredText = (one: Promises["measurement"]) => (one ? `${one.disk}, ${Math.round(one.done_percent)} % done` : "its disks");

const ANYTHING = "Anything may be played, and may be late.";

/** Tells playbacks apart from one answer to the next. */
export const playingKey = (one: Playing) => `${one.id ?? "rtsp"} ${one.stream}`;

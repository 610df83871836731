// The arithmetic of the timeline, without a canvas: what is in view, how it zooms, where ticks go.
// All times in milliseconds since the epoch.

export interface Range {
  from: number;
  to: number;
}

export const ZOOM_MIN_MS = 1_000;
export const ZOOM_MAX_MS = 40 * 86_400_000;

/** Position of a time on a line `width` pixels long. */
export const toX = (view: Range, width: number, t: number) => ((t - view.from) / (view.to - view.from)) * width;

/** The time at a position. */
export const toTime = (view: Range, width: number, x: number) => view.from + (x / width) * (view.to - view.from);

/** Zooms by `factor` (under 1: closer) and keeps the time `at` where it is. */
export function zoom(view: Range, factor: number, at: number): Range {
  const length = view.to - view.from;
  const wanted = Math.min(ZOOM_MAX_MS, Math.max(ZOOM_MIN_MS, length * factor));
  const share = (at - view.from) / length;
  return { from: at - share * wanted, to: at + (1 - share) * wanted };
}

export const pan = (view: Range, ms: number): Range => ({ from: view.from + ms, to: view.to + ms });

/** The view of the same length with `t` at `share` of it, if `t` is out of sight; else unchanged. */
export function reveal(view: Range, t: number, share = 0.5): Range {
  if (t >= view.from && t <= view.to) return view;
  const length = view.to - view.from;
  return { from: t - share * length, to: t + (1 - share) * length };
}

const STEPS_MS = [
  100, 200, 500, 1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 600e3, 900e3, 1800e3, 3600e3, 7200e3,
  10800e3, 21600e3, 43200e3, 86400e3, 172800e3, 604800e3,
];

export interface Tick {
  time: number;
  label: string;
  /** Starts a new day or, close up, a new minute: drawn stronger. */
  strong: boolean;
}

/** Ticks at round local times, at least `spacing` pixels apart. `offset_ms` is local minus UTC. */
export function ticks(view: Range, width: number, offset_ms: number, spacing = 90): Tick[] {
  const perPixel = (view.to - view.from) / Math.max(1, width);
  const step = STEPS_MS.find((s) => s / perPixel >= spacing) ?? 14 * 86400e3;
  const result: Tick[] = [];
  for (let local = Math.ceil((view.from + offset_ms) / step) * step; local <= view.to + offset_ms; local += step) {
    result.push({ time: local - offset_ms, label: label(local, step), strong: local % (step < 1e3 ? 1e3 : step < 60e3 ? 60e3 : 86400e3) === 0 });
  }
  return result;
}

function label(local: number, step: number): string {
  const iso = new Date(local).toISOString();
  if (local % 86400e3 === 0) return iso.slice(5, 10);
  if (step < 1e3) return iso.slice(11, 21);
  return step < 60e3 ? iso.slice(11, 19) : iso.slice(11, 16);
}

/** A part of a recording that is out, in the tier. */
export interface OutRange extends Range {
  back_in_ms: number | null;
}

interface Told {
  start: string;
  end: string;
  out?: readonly { start: string; end: string; back_in_ms: number | null }[];
}

/** What of `spans` is out. */
export const outOf = (spans: readonly Told[]): OutRange[] =>
  spans.flatMap(({ out = [] }) =>
    out.map(({ start, end, back_in_ms }) => ({ from: Date.parse(start), to: Date.parse(end), back_in_ms })),
  );

/** What is said of the instant `t` if it is out in any lane. */
export function outAt(lanes: readonly (readonly OutRange[])[], t: number): string {
  const there = lanes.flat().find((range) => t >= range.from && t < range.to);
  if (!there) return "";
  const { back_in_ms } = there;
  return back_in_ms === null ? " out" : ` out, back in ${Math.max(1, Math.ceil(back_in_ms / 1000))} s`;
}

/** The span that holds `t`, or the first after it, or the last there is. */
export function spanNear(spans: readonly Range[], t: number): Range | undefined {
  return spans.find((span) => t < span.to) ?? spans[spans.length - 1];
}

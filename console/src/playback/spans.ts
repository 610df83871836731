// Where something is recorded, of one stream or of several. Pure; times in milliseconds since the epoch.

import type { Range } from "../timeline-core";

/** The span that holds `t`. */
export const spanAt = (spans: readonly Range[], t: number) => spans.find((s) => t >= s.from && t < s.to);

/**
 * `t` if something is recorded then in any lane; else the nearest instant in the direction of play that
 * has something, or undefined behind the last.
 */
export function playable(lanes: readonly (readonly Range[])[], t: number, direction: number): number | undefined {
  let best: number | undefined;
  for (const span of lanes.flat()) {
    if (t >= span.from && t < span.to) return t;
    if (direction >= 0 && span.from > t) best = Math.min(best ?? Infinity, span.from);
    if (direction < 0 && span.to <= t) best = Math.max(best ?? -Infinity, span.to - EDGE_MS);
  }
  return best;
}

/** The instant of the lanes nearest to `t`, whichever way. */
export function nearest(lanes: readonly (readonly Range[])[], t: number): number | undefined {
  const on = playable(lanes, t, 1);
  const back = playable(lanes, t, -1);
  if (on === undefined || back === undefined) return on ?? back;
  return on - t <= t - back ? on : back;
}

/** First and last instant of all. */
export function extent(lanes: readonly (readonly Range[])[]): Range | undefined {
  const all = lanes.flat();
  if (all.length === 0) return undefined;
  return { from: Math.min(...all.map((s) => s.from)), to: Math.max(...all.map((s) => s.to)) };
}

/** Ends are not part of a span: the last instant that is. */
export const EDGE_MS = 1;

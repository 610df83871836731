// A group of pictures cut into windows: as many pictures as are held decoded at once. Pure.

import type { Pictures } from "./demux";

/** A group in the order in which its pictures are shown. */
export interface Shown {
  pictures: Pictures;
  /** Capture times, increasing. */
  times: number[];
  /** Pictures in a window. */
  length: number;
}

/**
 * The pictures of a group that begins at `begin`. Those shown before its key picture need the group
 * before to be decoded: they are left out.
 */
export function shown(pictures: Pictures, begin: number, length: number): Shown {
  const times = pictures.coded.map((c) => c.time).filter((t) => t >= begin - SLACK_MS);
  return { pictures, times: times.sort((a, b) => a - b), length: Math.max(1, length) };
}

/** Which picture is on show at `t`: the last not after it, or the first. -1 if there is none. */
export function indexAt(times: readonly number[], t: number): number {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle]! <= t + SLACK_MS) low = middle + 1;
    else high = middle;
  }
  return times.length === 0 ? -1 : Math.max(0, low - 1);
}

/** The window that holds a picture. */
export const windowOf = (group: Shown, index: number) => Math.floor(index / group.length);

/** Its pictures: from, and up to but without. */
export function windowRange(group: Shown, window: number): [number, number] {
  return [window * group.length, Math.min(group.times.length, (window + 1) * group.length)];
}

export const windowCount = (group: Shown) => Math.ceil(group.times.length / group.length);

const LENGTH_MIN = 4;
const LENGTH_MAX = 64;

/** How many pictures of a size are held decoded in a window, when `angles` share the memory. */
export function windowLength(width: number, height: number, angles: number): number {
  const picture_bytes = Math.max(1, width * height * 4);
  const count = Math.floor(MEMORY_BYTES / Math.max(1, angles) / WINDOWS_HELD / picture_bytes);
  return Math.min(LENGTH_MAX, Math.max(LENGTH_MIN, count));
}

/** For the decoded pictures of all angles together. */
const MEMORY_BYTES = 768 * 2 ** 20;
/** The one on show, its neighbours on both sides, and one being decoded. */
const WINDOWS_HELD = 4;

/** Times of pictures are compared with this slack: they have gone through numbers. */
const SLACK_MS = 0.02;

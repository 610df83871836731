// Speeds of playback: which there are, what the shuttle keys make of them. Pure. Negative is backwards.

export const SPEEDS = [0.25, 0.5, 1, 2, 4, 8, 16, 32] as const;
const FASTEST = SPEEDS[SPEEDS.length - 1]!;

/** From here on only key pictures are fetched and shown. */
export const KEYS_FROM = 4;

/** How far apart key pictures are shown, milliseconds of the viewer's time. */
export const KEY_PICTURE_MS = 120;

/** Whether at this speed only key pictures are shown. */
export const keysOnly = (speed: number) => Math.abs(speed) >= KEYS_FROM;

/** L (1) or J (-1) pressed: plays that way, twice as fast if it does already. */
export function shuttle(speed: number, paused: boolean, direction: 1 | -1): number {
  const same = !paused && Math.sign(speed) === direction;
  if (!same) return direction;
  return direction * Math.min(FASTEST, Math.max(1, Math.abs(speed) * 2));
}

/** One notch faster (1) or slower (-1), the same way. */
export function notch(speed: number, by: 1 | -1): number {
  const at = SPEEDS.findIndex((s) => s >= Math.abs(speed));
  const next = SPEEDS[Math.min(SPEEDS.length - 1, Math.max(0, (at < 0 ? SPEEDS.length - 1 : at) + by))]!;
  return Math.sign(speed) * next;
}

/** As people write it: ½×, 8×. Without direction. */
export function speedText(speed: number): string {
  const size = Math.abs(speed);
  return `${size === 0.25 ? "¼" : size === 0.5 ? "½" : size}×`;
}

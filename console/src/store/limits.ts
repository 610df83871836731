// Limits of quotas: as they are typed, as they are shown, and how near they are. Pure.

const FACTORS: Record<string, number> = {
  "": 1, b: 1,
  k: 2 ** 10, kib: 2 ** 10, m: 2 ** 20, mib: 2 ** 20, g: 2 ** 30, gib: 2 ** 30, t: 2 ** 40, tib: 2 ** 40,
  kb: 1e3, mb: 1e6, gb: 1e9, tb: 1e12,
};
/** Largest first. */
const UNITS: [string, number][] = [
  ["TiB", 2 ** 40], ["TB", 1e12], ["GiB", 2 ** 30], ["GB", 1e9], ["MiB", 2 ** 20], ["MB", 1e6], ["KiB", 2 ** 10], ["kB", 1e3],
];

/** Bytes as they are typed, in the units the commands take; nothing is no limit. Throws with a sentence that can be shown. */
export function parseSize(text: string): number | null {
  const typed = text.trim();
  if (!typed) return null;
  const [, number, unit] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(typed) ?? [];
  const factor = unit === undefined ? undefined : FACTORS[unit.toLowerCase()];
  const value = factor === undefined ? NaN : Math.floor(Number(number) * factor);
  if (!Number.isSafeInteger(value)) throw new Error(`“${typed}” is not a size. Write it like 10 GiB.`);
  return value;
}

/** A number of files as it is typed; nothing is no limit. Throws with a sentence that can be shown. */
export function parseCount(text: string): number | null {
  const typed = text.trim();
  if (!typed) return null;
  const value = /^\d[\d\s]*$/.test(typed) ? Number(typed.replace(/\s/g, "")) : NaN;
  if (!Number.isSafeInteger(value)) throw new Error(`“${typed}” is not a number of files. Write it like 100000.`);
  return value;
}

/** A size that `parseSize` reads back as the same. */
export function sizeText(bytes: number | null): string {
  if (bytes === null) return "";
  const unit = bytes > 0 ? UNITS.find(([, factor]) => bytes % factor === 0) : undefined;
  return unit ? `${bytes / unit[1]} ${unit[0]}` : String(bytes);
}

/** How much of a limit is used. */
export interface Level {
  text: string;
  /** 0 to 100; without a limit there is none. */
  percent: number | undefined;
  state: "calm" | "near" | "full";
}

/** From so many percent on it is told that a limit is near. */
const NEAR_PERCENT = 90;

export function level(used: number, limit: number | null, show: (n: number) => string): Level {
  if (limit === null) return { text: `${show(used)}, no limit`, percent: undefined, state: "calm" };
  const percent = used >= limit ? 100 : (used * 100) / limit;
  const state = percent >= 100 ? "full" : percent >= NEAR_PERCENT ? "near" : "calm";
  return { text: `${show(used)} of ${show(limit)}`, percent, state };
}

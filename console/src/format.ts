// Numbers and times as people read them.

export function bytes(n: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) {
    n /= 1024;
    unit++;
  }
  return `${unit === 0 || n >= 100 ? n.toFixed(0) : n.toFixed(1)} ${units[unit]}`;
}

export function rate(bps: number): string {
  if (bps < 1e3) return `${bps.toFixed(0)} b/s`;
  if (bps < 1e6) return `${(bps / 1e3).toFixed(0)} kb/s`;
  return `${(bps / 1e6).toFixed(1)} Mb/s`;
}

const two = (n: number) => String(n).padStart(2, "0");

export const clock = (t: Date) => `${two(t.getHours())}:${two(t.getMinutes())}:${two(t.getSeconds())}`;
export const day = (t: Date) => `${t.getFullYear()}-${two(t.getMonth() + 1)}-${two(t.getDate())}`;
/** Local time to the millisecond, for the frame on show. */
export const full = (t: Date) => `${day(t)} ${clock(t)}.${String(t.getMilliseconds()).padStart(3, "0")}`;

export function duration(s: number): string {
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 60) return `${s.toFixed(s < 10 ? 1 : 0)} s`;
  const whole = Math.round(s);
  const parts: string[] = [];
  for (const [name, size] of [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]] as const) {
    const count = Math.floor((whole % (size === 86400 ? Infinity : size === 3600 ? 86400 : size * 60)) / size);
    if (count > 0 && parts.length < 2) parts.push(`${count} ${name}`);
  }
  return parts.join(" ");
}

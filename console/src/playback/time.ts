// Instants: RFC 3339 with nanoseconds as the node writes them, and milliseconds as a number. A number
// of today's milliseconds is exact to a quarter of a microsecond, which no two pictures share.

/** Milliseconds since the epoch, with the fraction that `Date` cuts off. */
export function parseTime(text: string): number {
  const dot = text.indexOf(".");
  if (dot < 0) return Date.parse(text);
  const digits = /^\d+/.exec(text.slice(dot + 1))?.[0] ?? "";
  return Date.parse(text.slice(0, dot) + text.slice(dot + 1 + digits.length)) + Number(`0.${digits || "0"}`) * 1000;
}

/** RFC 3339 with microseconds. */
export function stamp(ms: number): string {
  const whole = Math.floor(ms);
  const micros = Math.min(999, Math.floor((ms - whole) * 1000));
  return `${new Date(whole).toISOString().slice(0, -1)}${String(micros).padStart(3, "0")}Z`;
}

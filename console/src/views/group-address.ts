// The address of a group of angles: `#/group?s=/cam/a&s=/cam/b&at=TIME`. Pure.

export const ANGLES_MAX = 9;

export interface GroupAddress {
  names: string[];
  /** Milliseconds since the epoch; undefined: near the end of what is recorded. */
  at: number | undefined;
}

export function parseGroup(hash: string): GroupAddress {
  const query = new URLSearchParams(hash.slice(hash.indexOf("?") + 1));
  const names = [...new Set(query.getAll("s"))].filter((name) => name.startsWith("/"));
  const at = Date.parse(query.get("at") ?? "");
  return { names: names.slice(0, ANGLES_MAX), at: Number.isNaN(at) ? undefined : at };
}

export function groupHash(names: readonly string[], at?: number): string {
  const list = names.map((name) => `s=${name.split("/").map(encodeURIComponent).join("/")}`);
  if (at !== undefined) list.push(`at=${new Date(at).toISOString()}`);
  return `#/group?${list.join("&")}`;
}

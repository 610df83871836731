// Which of the things on show stay, come and go. Pure.

/** The items with a key each; those with the same key are numbered, so that every key is there once. */
export function keyed<T>(items: readonly T[], key: (item: T) => string): [string, T][] {
  const count = new Map<string, number>();
  return items.map((item) => {
    const name = key(item);
    const nth = count.get(name) ?? 0;
    count.set(name, nth + 1);
    return [`${name}\n${nth}`, item];
  });
}

// The rows of a table, changed in place: what is clicked, selected or read stays where it is while the list is refreshed.

import { h } from "../dom";
import { keyed } from "./keyed";

/** A row on show. */
export interface Row<T> {
  element: HTMLTableRowElement;
  update(item: T): void;
}

export class Rows<T> {
  readonly body = h("tbody");
  private readonly shown = new Map<string, Row<T>>();
  private readonly none: HTMLTableRowElement | undefined;

  /** `none` is said where there are no rows. */
  constructor(private readonly key: (item: T) => string, private readonly make: (item: T) => Row<T>, none?: string) {
    if (none) this.none = h("tr", { class: "none" }, h("td", { colSpan: 9 }, none));
  }

  show(items: readonly T[]) {
    const wanted = keyed(items, this.key);
    const keys = new Set(wanted.map(([key]) => key));
    for (const key of this.shown.keys()) if (!keys.has(key)) this.remove(key);
    this.none?.remove();
    wanted.forEach(([key, item], at) => {
      const row = this.row(key, item);
      row.update(item);
      if (this.body.children[at] !== row.element) this.body.insertBefore(row.element, this.body.children[at] ?? null);
    });
    if (this.none && !items.length) this.body.append(this.none);
  }

  private row(key: string, item: T): Row<T> {
    const row = this.shown.get(key) ?? this.make(item);
    this.shown.set(key, row);
    return row;
  }

  private remove(key: string) {
    this.shown.get(key)?.element.remove();
    this.shown.delete(key);
  }
}

/** A table in a box of its own that scrolls; a heading that is empty is for the eye only. */
export function table(name: string, headings: string[], body: HTMLTableSectionElement): HTMLElement {
  const heads = headings.map((text) => (text ? h("th", { scope: "col" }, text) : h("td")));
  return h("div", { class: `scroll ${name}` }, h("table", {}, h("thead", {}, h("tr", {}, ...heads)), body));
}

/** A cell that says on a phone, where there are no columns, what it is. */
export const cell = (label: string, ...children: (Node | string)[]) => h("td", { "data-label": label }, ...children);

/** Sets a text only when it is another, so that a selection in it stays. */
export function say(element: HTMLElement, text: string) {
  if (element.textContent !== text) element.textContent = text;
}

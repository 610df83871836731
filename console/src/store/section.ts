// A part of the store's page, which loads what it shows by itself.

import { ApiError } from "../api";
import { h } from "../dom";
import { sentence } from "../notice";
import { Latest } from "./latest";
import { say } from "./rows";

/** A part of a page, and how it is refreshed. */
export interface Part {
  element: HTMLElement;
  everyMs: number;
  load(): Promise<void>;
}

const reason = (error: unknown) => sentence(error instanceof Error ? error.message : String(error));
const unreachable = (error: unknown) => error instanceof ApiError && error.status === undefined;

export class Section {
  readonly element: HTMLElement;
  /** Beside the heading, where there is room for it: nothing below moves. */
  private readonly trouble = h("span", { class: "problem", role: "status" });
  private readonly latest = new Latest();

  constructor(title: string, private readonly level: 1 | 2 | 3, ...children: Node[]) {
    const id = `section-${title.toLowerCase()}`;
    const heading = h("div", { class: "heading" }, h(`h${level}`, { id }, title), this.trouble);
    this.element = h("section", { class: "part", "aria-labelledby": id }, heading, ...children);
  }

  /** Loads and shows; what fails is said beside the heading, and what was on show stays. */
  async refresh<T>(load: () => Promise<T>, show: (answer: T) => void): Promise<void> {
    try {
      const come = await this.latest.ask(load);
      if (!come) return;
      show(come.answer);
      say(this.trouble, "");
    } catch (error) {
      // That the node can't be reached is said once on the page.
      say(this.trouble, unreachable(error) && this.level > 1 ? "" : reason(error));
    }
  }
}

/** What is said under a form or a row: how something went, or why it did not. */
export class Word {
  readonly element = h("p", { class: "word", role: "status" });

  tell(text: string) {
    this.element.classList.remove("problem");
    say(this.element, text);
  }

  complain(error: unknown) {
    this.element.classList.add("problem");
    say(this.element, reason(error));
  }
}

/** A button that does something once at a time; `fails` is told why it could not. */
export function action(text: string, label: string, work: () => Promise<void>, fails: (error: unknown) => void): HTMLButtonElement {
  const button = h("button", { type: "button", "aria-label": label, onclick: () => void run() }, text);
  const run = async () => {
    button.disabled = true;
    await work().catch(fails);
    button.disabled = false;
  };
  return button;
}

// What stands over the pictures when the node refuses to play: its reason, and a way to ask again.

import { h } from "../dom";

export class Refusal {
  readonly element = h("div", { class: "refusal", role: "alert", hidden: true });

  constructor(private readonly again: () => void) {}

  show(why: string) {
    this.element.replaceChildren(
      h("strong", {}, "The node refuses to play this now"),
      h("p", {}, why),
      h("button", { type: "button", onclick: () => this.again() }, "Try again"),
    );
    this.element.hidden = false;
  }

  hide() {
    this.element.hidden = true;
    this.element.replaceChildren();
  }
}

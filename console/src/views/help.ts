// The list of keys.

import { h } from "../dom";

export function keysHelp(keys: [string, string][]): HTMLDialogElement {
  const dialog = h("dialog", {}, h("h2", {}, "Keys"), h("dl", {}, ...keys.flatMap(([key, what]) => [h("dt", {}, key), h("dd", {}, what)])));
  // A click beside it closes it, as Escape does.
  dialog.addEventListener("click", (e) => e.target === dialog && dialog.close());
  return dialog;
}

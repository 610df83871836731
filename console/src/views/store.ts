// The store's page: room and disks, promised playbacks, snapshots and quotas of the files.

import "../store/store.css";
import { h, poll, type View } from "../dom";
import { overviewPart } from "../store/overview";
import { playbacksPart } from "../store/playbacks";
import { quotasPart } from "../store/quotas";
import { Section } from "../store/section";
import { snapshotsPart } from "../store/snapshots";

/** The page is shown when all parts have loaded, but no later: so it comes at once, and nothing is pushed down. */
const SHOWN_MS = 1000;

export function storeView(): View {
  const overview = overviewPart();
  const [playbacks, snapshots, quotas] = [playbacksPart(), snapshotsPart(), quotasPart()];
  // What grows and shrinks by itself, as viewers come and go, has nothing below it.
  const files = new Section("Files", 2, overview.files, snapshots.element, quotas.element);
  const left = h("div", { class: "column" }, overview.disks, files.element);
  const right = h("div", { class: "column" }, playbacks.element);
  const element = h("section", { class: "store loading" }, overview.element, h("div", { class: "columns" }, left, right));

  const show = () => element.classList.remove("loading");
  const waiting = new Set([overview, playbacks, snapshots, quotas]);
  const parts = [...waiting];
  const stops = parts.map((part) =>
    poll(part.everyMs, async () => {
      await part.load();
      waiting.delete(part);
      if (waiting.size === 0) show();
    }),
  );
  const late = window.setTimeout(show, SHOWN_MS);
  const close = () => {
    window.clearTimeout(late);
    stops.forEach((stop) => stop());
  };
  return { element, close };
}

// The selection on the timeline: what it is, and saving it as a file.

import { h } from "../dom";
import { exportRange } from "../exporter";
import { bytes, duration, full } from "../format";
import type { Range } from "../timeline-core";

export class Selection {
  readonly element = h("div", { class: "row export", hidden: true });
  private download: AbortController | undefined;

  constructor(private readonly name: string, private readonly clear: () => void) {}

  close() {
    this.download?.abort();
  }

  show(selection: Range | undefined) {
    this.element.hidden = !selection;
    if (!selection) return;
    const { from, to } = { from: new Date(selection.from), to: new Date(selection.to) };
    const bar = h("progress", { max: 1, value: 0, "aria-label": "Export progress" });
    const command = `pegasus export ${this.name} --from ${from.toISOString()} --to ${to.toISOString()} -o clip.mp4`;
    const said = h("span", { role: "status" });
    const start = h("button", { type: "button", onclick: () => void this.save(from, to, bar, said) }, "Export MP4");
    this.element.replaceChildren(
      h("span", {}, `${full(from)} – ${full(to)} (${duration((selection.to - selection.from) / 1000)})`),
      start, bar, said,
      h("button", { type: "button", onclick: () => void navigator.clipboard?.writeText(command) }, "Copy as command"),
      h("button", { type: "button", onclick: () => this.clear() }, "Clear"),
    );
  }

  private async save(from: Date, to: Date, bar: HTMLProgressElement, said: HTMLElement) {
    this.download?.abort();
    this.download = new AbortController();
    try {
      await exportRange(this.name, from, to, (share, done) => {
        if (share === undefined) bar.removeAttribute("value");
        else bar.value = share;
        said.textContent = bytes(done);
      }, this.download.signal);
      said.textContent += ", saved";
    } catch (error) {
      if (!this.download.signal.aborted) said.textContent = error instanceof Error ? error.message : String(error);
    }
  }
}

// Snapshots of the files: those there are, making and removing one.

import { api, type Snapshot } from "../api";
import { h } from "../dom";
import { clock, day } from "../format";
import { cell, Rows, table, type Row } from "./rows";
import { action, Section, Word, type Part } from "./section";

export function snapshotsPart(): Part {
  const rows = new Rows<Snapshot>((s) => `${s.name} ${s.time}`, row, "None yet.");
  const word = new Word();
  const name = h("input", { name: "snapshot", placeholder: "before-the-upgrade", required: true, autocomplete: "off" });
  const button = h("button", { type: "submit" }, "Make snapshot");
  const form = h("form", { class: "row", onsubmit: (e: Event) => void make(e) }, h("label", { class: "field" }, "Name", name), button);
  const section = new Section(
    "Snapshots",
    3,
    h("p", { class: "dim" }, "All files as they were, to be read in ", h("code", {}, ".snapshots"), " where the files are mounted. Recordings are not in them."),
    table("stacked snapshots", ["Name", "As of", ""], rows.body),
    form,
    word.element,
  );
  const load = () => section.refresh(api.snapshots, (all) => rows.show(all));

  async function make(e: Event) {
    e.preventDefault();
    button.disabled = true;
    try {
      const made = await api.makeSnapshot(name.value.trim());
      word.tell(`${made.name} is kept.`);
      name.value = "";
      await load();
    } catch (error) {
      word.complain(error);
    }
    button.disabled = false;
  }

  function row(snapshot: Snapshot): Row<Snapshot> {
    const failed = new Word();
    const remove = async () => {
      if (!confirm(`Remove the snapshot ${snapshot.name}? What only it still shows is gone then.`)) return;
      await api.removeSnapshot(snapshot.name);
      word.tell(`${snapshot.name} is removed.`);
      await load();
    };
    const button = action("Remove", `Remove the snapshot ${snapshot.name}`, remove, (error) => failed.complain(error));
    const time = new Date(snapshot.time);
    const element = h(
      "tr",
      {},
      cell("Name", h("code", {}, snapshot.name)),
      cell("As of", h("time", { dateTime: snapshot.time }, `${day(time)} ${clock(time)}`)),
      h("td", { class: "actions" }, button, failed.element),
    );
    return { element, update: () => undefined };
  }

  return { element: section.element, everyMs: 5000, load };
}

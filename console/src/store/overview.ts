// The store as a whole: how full it is, what it takes in, its disks.

import { api, type Disk, type Files, type Status, type Work } from "../api";
import { h } from "../dom";
import { bytes, duration, rate } from "../format";
import { Plot } from "../plot";
import { Rows, say, table, type Row } from "./rows";
import { Section, type Part } from "./section";

/** A disk of the array, or one that waits to become one. */
type Listed = Pick<Disk, "path"> & Partial<Disk>;

/** Also shows the disks and the files, which stand elsewhere on the page. */
export function overviewPart(): Part & { disks: HTMLElement; files: HTMLElement } {
  const fill = h("div");
  const room = h("p", { class: "room" });
  const facts = h("p", { class: "dim about" });
  const alarm = h("p", { class: "alarm", role: "alert", hidden: true });
  const work = h("p", { hidden: true });
  const files = h("p");
  const rows = new Rows<Listed>((d) => `${d.path} ${d.state === undefined}`, diskRow);
  const ingest = new Plot("Ingest", rate);
  const used = new Plot("Used", bytes);
  const section = new Section("Store", 1, alarm, h("div", { class: "bar" }, fill), room, facts, work, h("div", { class: "plots" }, ingest.element, used.element));
  const disks = new Section("Disks", 2, table("disks", ["Disk", "State", "Errors"], rows.body));

  const show = (status: Status) => {
    const { store } = status;
    const share = store.capacity_bytes ? (store.used_bytes * 100) / store.capacity_bytes : 0;
    fill.style.width = `${share.toFixed(1)}%`;
    say(room, `${bytes(store.used_bytes)} of ${bytes(store.capacity_bytes)} used (${share.toFixed(1)} %). ${forecast(status)}`);
    say(facts, `Stripes of ${store.data_columns} + ${store.parity_columns}, ${status.streams} streams, version ${status.version}, up ${duration(status.uptime_s)}.`);
    const bad = store.disks.filter((d) => d.state !== "ok");
    alarm.hidden = bad.length === 0;
    say(alarm, `${bad.length} of ${store.disks.length} disks are not well: ${bad.map((d) => `${d.path} is ${d.state}`).join(", ")}. What they lack, or are slow to give, is read from the others.`);
    work.hidden = !store.care.work;
    say(work, progress(store.care.work));
    rows.show([...store.disks, ...store.spares.map(({ path }) => ({ path }))]);
    say(files, filesText(status.files));
    files.classList.toggle("problem", status.files.trouble !== null);
    ingest.add(status.ingest_bps);
    used.add(store.used_bytes);
  };
  return { element: section.element, disks: disks.element, files, everyMs: 2000, load: () => section.refresh(api.status, show) };
}

function diskRow(first: Listed): Row<Listed> {
  const state = h("span");
  const errors = h("td", { class: "number" });
  const element = h("tr", {}, h("td", {}, h("code", {}, first.path)), h("td", {}, state), errors);
  const update = (disk: Listed) => {
    state.className = `badge ${disk.state ?? ""}`;
    say(state, disk.state ?? "spare");
    say(errors, disk.errors === undefined ? "-" : String(disk.errors));
  };
  return { element, update };
}

/** Where the ordinary files are, and how much room they have. */
function filesText(files: Files): string {
  if (files.trouble !== null) return `The files can't be written: ${files.trouble}.`;
  const room = files.free_bytes === null ? "" : ` ${bytes(files.free_bytes)} can be written.`;
  if (files.mounts.length) return `The files are mounted on ${files.mounts.join(", ")}.${room}`;
  return `The files are not mounted: pegasus mount DIRECTORY on the node's machine does it.${room}`;
}

/** What is done for the disks, and how far it is. */
function progress(work: Work | null): string {
  if (!work) return "";
  const share = work.slots_total ? ((work.slots_done * 100) / work.slots_total).toFixed(1) : "0";
  const left = work.eta_s === null ? "" : `, about ${duration(work.eta_s)} left`;
  const name = { rebuild: "Rebuilding", scrub: "Scrubbing", removal: "Removing a disk" }[work.kind];
  const anew = work.kind === "removal" ? "" : `; ${work.repaired_fragments} fragments written anew`;
  return `${name}: ${share} % of ${work.slots_total} slots${left}${anew}.`;
}

/** When the free space ends at the present rate, and how far recordings reach back then. */
function forecast(status: Status): string {
  const { full_at, keeps_s } = status.store.forecast;
  if (full_at === null || keeps_s === null) return "";
  const left = (Date.parse(full_at) - Date.now()) / 1000;
  const keeps = `recordings reach back about ${duration(keeps_s)}`;
  if (left < 5) return `The store is full: the oldest recordings go; at this rate ${keeps}.`;
  return `At this rate it is full in about ${duration(left)}; then ${keeps}.`;
}

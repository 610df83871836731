// The store: disks, health, usage, throughput.

import { api, type Status, type Work } from "../api";
import { h, poll, type View } from "../dom";
import { bytes, duration, rate } from "../format";
import { Plot } from "../plot";

export function storeView(): View {
  const usage = h("div", { class: "bar" }, h("div"));
  const words = h("p");
  const alarm = h("p", { class: "alarm", role: "alert", hidden: true });
  const work = h("p", { hidden: true });
  const rows = h("tbody");
  const table = h("table", {}, h("thead", {}, h("tr", {}, ...["Disk", "State", "Errors"].map((t) => h("th", { scope: "col" }, t)))), rows);
  const ingest = new Plot("Ingest", rate);
  const used = new Plot("Used", bytes);

  const update = (status: Status) => {
    const { store } = status;
    const share = store.capacity_bytes ? store.used_bytes / store.capacity_bytes : 0;
    (usage.firstChild as HTMLElement).style.width = `${(share * 100).toFixed(1)}%`;
    words.textContent =
      `${bytes(store.used_bytes)} of ${bytes(store.capacity_bytes)} used (${(share * 100).toFixed(1)} %), ` +
      `stripes of ${store.data_columns} + ${store.parity_columns}, ${status.streams} streams, version ${status.version}, up ${duration(status.uptime_s)}. ${forecast(status)}`;
    const bad = store.disks.filter((d) => d.state !== "ok");
    alarm.hidden = bad.length === 0;
    alarm.textContent = `${bad.length} of ${store.disks.length} disks are not well: ${bad.map((d) => `${d.path} is ${d.state}`).join(", ")}. What they lack, or are slow to give, is read from the others.`;
    work.hidden = !store.care.work;
    work.textContent = progress(store.care.work);
    rows.replaceChildren(
      ...store.disks.map((d) =>
        h("tr", {}, h("td", {}, h("code", {}, d.path)), h("td", {}, h("span", { class: `badge ${d.state}` }, d.state)), h("td", { class: "number" }, String(d.errors))),
      ),
      ...store.spares.map((d) => h("tr", {}, h("td", {}, h("code", {}, d.path)), h("td", {}, h("span", { class: "badge" }, "spare")), h("td", { class: "number" }, "-"))),
    );
    ingest.add(status.ingest_bps);
    used.add(store.used_bytes);
  };
  const stop = poll(2000, async () => update(await api.status()));
  return {
    element: h("section", {}, h("h1", {}, "Store"), alarm, usage, words, work, table, h("div", { class: "plots" }, ingest.element, used.element)),
    close: stop,
  };
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

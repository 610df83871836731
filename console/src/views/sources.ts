// Streams the node pulls.

import { api, type Source } from "../api";
import { h, poll, type View } from "../dom";

export function sourcesView(): View {
  const rows = h("tbody");
  const message = h("p", { role: "status", class: "message" });
  const name = h("input", { name: "name", placeholder: "/cam/yard", required: true, "aria-label": "Name", autocomplete: "off" });
  const url = h("input", { name: "url", placeholder: "rtsp://user:pass@camera.local/stream1", required: true, "aria-label": "URL", autocomplete: "off" });
  const tell = (error: unknown) => (message.textContent = error instanceof Error ? error.message : String(error));

  const load = async () => {
    const sources = await api.sources();
    rows.replaceChildren(...(sources.length ? sources.map(row) : [h("tr", {}, h("td", { colSpan: 5 }, "None. Add a camera below."))]));
  };
  const row = (source: Source) =>
    h(
      "tr",
      {},
      h("td", {}, h("a", { href: `#/stream${source.name}` }, source.name)),
      h("td", {}, h("code", {}, source.url)),
      h("td", {}, h("span", { class: `badge ${source.state}` }, source.state)),
      h("td", { class: "problem" }, source.error ?? ""),
      h("td", {}, h("button", { type: "button", onclick: () => void remove(source.name) }, "Remove")),
    );
  const remove = async (which: string) => {
    if (!confirm(`Stop pulling ${which}? What is recorded stays.`)) return;
    await api.removeSource(which).then(load).catch(tell);
  };
  const add = async (e: Event) => {
    e.preventDefault();
    try {
      await api.addSource(name.value.trim(), url.value.trim());
      message.textContent = `Pulling ${name.value}.`;
      name.value = url.value = "";
      await load();
    } catch (error) {
      tell(error);
    }
  };
  const stop = poll(3000, load);
  const head = h("tr", {}, ...["Name", "From", "State", "Problem", ""].map((t) => h("th", { scope: "col" }, t)));
  return {
    element: h("section", {}, h("h1", {}, "Sources"), h("div", { class: "scroll" }, h("table", {}, h("thead", {}, head), rows)), h("form", { class: "row", onsubmit: (e: Event) => void add(e) }, name, url, h("button", { type: "submit" }, "Add")), message),
    close: stop,
  };
}

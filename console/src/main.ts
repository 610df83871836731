// The console: which page is on show.

import "./style.css";
import { api } from "./api";
import { h, poll, type View } from "./dom";
import { groupView } from "./views/group";
import { sourcesView } from "./views/sources";
import { streamView } from "./views/stream";
import { streamsView } from "./views/streams";

const PAGES: [string, string][] = [["#/", "Streams"], ["#/sources", "Sources"], ["#/store", "Store"]];

const page = document.getElementById("page")!;
const nav = document.querySelector("nav")!;
const health = document.getElementById("health")!;
const links = PAGES.map(([href, text]) => h("a", { href }, text));
nav.append(...links);
let view: View | undefined;

function viewFor(hash: string): View {
  if (hash.startsWith("#/stream/")) return streamView(decodeURIComponent(hash.slice("#/stream".length)));
  if (hash.startsWith("#/group?")) return groupView(hash);
  if (hash === "#/sources") return sourcesView();
  if (hash === "#/store") return later(async () => (await import("./views/store")).storeView());
  return streamsView();
}

/** A page whose program is fetched when it is wanted. */
function later(load: () => Promise<View>): View {
  const element = h("div");
  let closed = false;
  let view: View | undefined;
  const show = (loaded: View) => {
    if (closed) return loaded.close();
    view = loaded;
    element.append(loaded.element);
  };
  const fail = () => element.append(h("p", { class: "problem", role: "alert" }, "This page can't be loaded: the node can't be reached, or has been updated. Load it anew."));
  load().then(show, fail);
  return { element, close: () => { closed = true; view?.close(); } };
}

function title(hash: string): string {
  if (hash.startsWith("#/stream/")) return hash.slice("#/stream".length);
  if (hash.startsWith("#/group?")) return "Angles";
  return PAGES.find(([h]) => h === hash)?.[1] ?? "Streams";
}

function route() {
  const hash = location.hash || "#/";
  view?.close();
  view = viewFor(hash);
  page.replaceChildren(view.element);
  window.scrollTo(0, 0);
  for (const link of links) {
    const here = link.getAttribute("href") === hash || (/^#\/(stream\/|group\?)/.test(hash) && link === links[0]);
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${title(hash)} – Pegasus`;
}

window.addEventListener("hashchange", route);
route();

poll(5000, async () => {
  try {
    const status = await api.status();
    const bad = status.store.disks.filter((d) => d.state !== "ok").length;
    health.className = bad ? "bad" : "good";
    health.textContent = bad ? `${bad} disk${bad > 1 ? "s" : ""} not well` : "all well";
  } catch {
    health.className = "bad";
    health.textContent = "no answer";
  }
});

// Quotas on directories: how full they are, setting, changing and removing one.

import { api, type Quota } from "../api";
import { h } from "../dom";
import { bytes } from "../format";
import { level, parseCount, parseSize, sizeText } from "./limits";
import { cell, Rows, say, table, type Row } from "./rows";
import { action, Section, Word, type Part } from "./section";

export function quotasPart(): Part {
  const rows = new Rows<Quota>((q) => q.path, row, "None: every directory may take what room there is.");
  const form: Form = new Form((quota) => load().then(() => form.word.tell(`${quota.path}: ${limitsText(quota)}.`)));
  const section = new Section(
    "Quotas",
    3,
    h("p", { class: "dim" }, "What a directory of the files may hold, with all that is in it."),
    table("stacked", ["Directory", "Size", "Files", ""], rows.body),
    form.element,
    form.word.element,
  );
  const load = (): Promise<void> =>
    section.refresh(api.quotas, (all) => {
      rows.show(all);
      form.known(all.map((quota) => quota.path));
    });

  function row(first: Quota): Row<Quota> {
    let quota = first;
    const failed = new Word();
    const [size, files] = [new Gauge(), new Gauge()];
    const remove = async () => {
      if (!confirm(`Take the quota of ${quota.path} away? What is in the directory stays.`)) return;
      await api.removeQuota(quota.path);
      form.word.tell(`${quota.path} has no quota any more.`);
      await load();
    };
    const actions = [
      h("button", { type: "button", "aria-label": `Change the quota of ${quota.path}`, onclick: () => form.fill(quota) }, "Change"),
      action("Remove", `Remove the quota of ${quota.path}`, remove, (error) => failed.complain(error)),
    ];
    const element = h("tr", {}, cell("Directory", h("code", {}, quota.path)), cell("Size", size.element), cell("Files", files.element), h("td", { class: "actions" }, ...actions, failed.element));
    const update = (now: Quota) => {
      quota = now;
      size.show(now.used_bytes, now.bytes, bytes, now.counting);
      files.show(now.used_files, now.files, String, now.counting);
    };
    return { element, update };
  }

  return { element: section.element, everyMs: 5000, load };
}

function limitsText(quota: Quota): string {
  const limits = [quota.bytes === null ? "" : bytes(quota.bytes), quota.files === null ? "" : `${quota.files} files`].filter(Boolean);
  return limits.length ? `at most ${limits.join(" and ")}` : "counted, without a limit";
}

/** How much of a limit is used, as a text over a bar. */
class Gauge {
  private readonly text = h("span");
  private readonly fill = h("div");
  private readonly bar = h("div", { class: "bar thin" }, this.fill);
  readonly element = h("div", { class: "gauge" }, this.text, this.bar);

  show(used: number, limit: number | null, text: (n: number) => string, counting: boolean) {
    const found = level(used, limit, text);
    say(this.text, counting ? `${found.text}, being counted` : found.text);
    this.element.className = `gauge ${found.state}`;
    this.bar.classList.toggle("none", found.percent === undefined);
    this.fill.style.width = `${(found.percent ?? 0).toFixed(1)}%`;
  }
}

/** Sets a directory's limits, anew or other ones. */
class Form {
  readonly word = new Word();
  readonly element: HTMLFormElement;
  private readonly path = this.input("directory", "/projects", true);
  private readonly size = this.input("size", "10 GiB");
  private readonly files = this.input("files", "no limit");
  private readonly button = h("button", { type: "submit" }, "Set quota");
  private paths: string[] = [];

  constructor(private readonly done: (quota: Quota) => Promise<void>) {
    const field = (label: string, input: HTMLInputElement) => h("label", { class: "field" }, label, input);
    this.path.addEventListener("input", () => this.name());
    this.element = h("form", { class: "row", onsubmit: (e: Event) => void this.submit(e) },
      field("Directory", this.path), field("Size at most", this.size), field("Files at most", this.files), this.button);
  }

  /** Which directories have a quota: setting it again changes it. */
  known(paths: string[]) {
    this.paths = paths;
    this.name();
  }

  /** Puts a quota's limits there, to be changed. */
  fill(quota: Quota) {
    this.path.value = quota.path;
    this.size.value = sizeText(quota.bytes);
    this.files.value = quota.files === null ? "" : String(quota.files);
    this.word.tell("");
    this.name();
    this.size.select();
  }

  private async submit(e: Event) {
    e.preventDefault();
    this.button.disabled = true;
    try {
      const limits = { bytes: parseSize(this.size.value), files: parseCount(this.files.value) };
      this.word.tell("Counting what is there…");
      const set = await api.setQuota(this.path.value.trim(), limits);
      this.path.value = this.size.value = this.files.value = "";
      await this.done(set);
    } catch (error) {
      this.word.complain(error);
    }
    this.button.disabled = false;
  }

  private name() {
    say(this.button, this.paths.includes(this.path.value.trim()) ? "Change quota" : "Set quota");
  }

  private input(name: string, placeholder: string, required = false): HTMLInputElement {
    return h("input", { name, placeholder, required, autocomplete: "off" });
  }
}

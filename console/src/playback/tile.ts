// One angle on the screen: its picture, name, the time of the frame on show, and what is wrong with it.

import { h } from "../dom";
import { full } from "../format";
import type { Picture, Size } from "./decoder";
import type { Sight } from "./reel";

export class Tile {
  readonly element: HTMLElement;
  /** Capture time of the frame on show. */
  shown: number | undefined;
  private readonly canvas = h("canvas");
  private readonly note = h("p", { class: "note", role: "status" });
  private readonly time = h("time");
  private problem: { text: string; until: number } | undefined;
  private marks = "";

  constructor(name: string, caption: boolean) {
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", `Recording of ${name}`);
    this.element = h("figure", { class: "angle" }, this.canvas, this.note,
      caption && h("figcaption", {}, h("a", { href: `#/stream${name}`, tabIndex: -1 }, name), this.time));
  }

  /** How large pictures need to be here, in pixels of the screen. */
  readonly size = (coded: Size): Size => {
    const room = this.element.clientWidth * (window.devicePixelRatio || 1);
    // Somewhat more than there is room for costs less than scaling twice.
    if (room === 0 || coded.width <= room * 1.5) return coded;
    const scale = room / coded.width;
    return { width: Math.round(coded.width * scale), height: Math.round(coded.height * scale) };
  };

  /** A problem to be told for a while. */
  fail(text: string, now: number) {
    this.problem = { text, until: now + PROBLEM_MS };
  }

  /** Shows what there is. */
  show(sight: Sight, t: number, now: number, behind: boolean) {
    const { picture } = sight;
    // While it is waited for, a picture of long before or after is not to be taken for this instant's.
    const far = sight.state === "late" && this.shown !== undefined && Math.abs(this.shown - t) > FAR_MS;
    if (sight.state === "none") this.clear();
    else if (picture && picture.time !== this.shown && (sight.state === "shown" || behind)) this.draw(picture);
    const told = this.problem && now < this.problem.until ? this.problem.text : undefined;
    const text = told ?? (sight.state === "none" ? "Nothing recorded then" : behind ? "Catching up" : "");
    if (this.note.textContent !== text) this.note.textContent = text;
    this.mark(`${sight.state === "none" ? "none" : ""} ${behind || far ? "behind" : ""}`);
  }

  private mark(marks: string) {
    if (marks === this.marks) return;
    this.marks = marks;
    for (const name of ["none", "behind"]) this.element.classList.toggle(name, marks.includes(name));
  }

  private draw(picture: Picture) {
    const { canvas } = this;
    const { image } = picture;
    const [width, height] = "displayWidth" in image ? [image.displayWidth, image.displayHeight] : [image.width, image.height];
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    canvas.getContext("2d", { alpha: false })?.drawImage(image, 0, 0, width, height);
    this.shown = picture.time;
    this.element.dataset["frame"] = picture.time.toFixed(3);
    this.time.textContent = full(new Date(picture.time)).slice(11);
  }

  private clear() {
    if (this.shown === undefined && this.time.textContent === "") return;
    this.shown = undefined;
    delete this.element.dataset["frame"];
    this.time.textContent = "";
    this.canvas.getContext("2d", { alpha: false })?.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }
}

/** A picture so far from the instant is dimmed. */
const FAR_MS = 1000;
/** How long a problem is told after it was met last. */
const PROBLEM_MS = 4000;

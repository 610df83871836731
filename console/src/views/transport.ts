// The buttons under a recording, as on a video recorder: backwards, a frame, pause, a frame, forwards,
// and the speed. The keys do the same.

import { h } from "../dom";
import { notch, SPEEDS, shuttle, speedText } from "../playback/speed";
import { icon, type IconName } from "./icons";

/** What the buttons drive. `speed` and `paused` are of what is on show. */
export interface Driven {
  readonly speed: number;
  readonly paused: boolean;
  pause(): void;
  play(): void;
  setSpeed(speed: number): void;
  step(direction: 1 | -1): void;
}

export class Transport {
  readonly element: HTMLElement;
  private readonly play: HTMLButtonElement;
  private readonly reverse: HTMLButtonElement;
  private readonly forward: HTMLButtonElement;
  private readonly speeds: HTMLButtonElement[];

  /** `driven` gives what is to be driven; undefined if nothing can be. */
  constructor(private readonly driven: () => Driven | undefined) {
    const button = (name: IconName, label: string, key: string, onclick: () => void) =>
      h("button", { type: "button", class: "icon", "aria-label": label, title: `${label} (${key})`, onclick }, icon(name));
    this.reverse = button("reverse", "Play backwards", "j", () => this.shuttle(-1));
    this.forward = button("forward", "Play forwards", "l", () => this.shuttle(1));
    this.play = button("pause", "Pause", "k", () => this.toggle());
    this.speeds = SPEEDS.map((speed) =>
      h("button", { type: "button", "aria-label": `Speed ${speed}`, onclick: () => this.setSize(speed) }, speedText(speed)));
    this.element = h("div", { class: "transport" },
      h("div", { class: "buttons", role: "group", "aria-label": "Playback" },
        this.reverse, button("back", "One frame back", ",", () => this.step(-1)), this.play,
        button("on", "One frame on", ".", () => this.step(1)), this.forward),
      h("div", { class: "speeds", role: "group", "aria-label": "Speed" }, ...this.speeds));
    // Else the space bar would press the button clicked last, where it is to pause.
    this.element.addEventListener("click", (e) => e.detail > 0 && e.target instanceof Element && e.target.closest("button")?.blur());
  }

  /** Shows what is being done. */
  update() {
    const driven = this.driven();
    const { speed, paused } = driven ?? { speed: 1, paused: true };
    const name = paused ? "Play" : "Pause";
    if (this.play.getAttribute("aria-label") !== name) {
      this.play.setAttribute("aria-label", name);
      this.play.title = `${name} (${paused ? "space" : "k"})`;
      this.play.replaceChildren(icon(paused ? "play" : "pause"));
    }
    press(this.reverse, !paused && speed < 0);
    press(this.forward, !paused && speed > 0);
    this.speeds.forEach((button, i) => press(button, SPEEDS[i] === Math.abs(speed)));
    for (const b of this.element.querySelectorAll("button")) b.disabled = !driven;
  }

  /** What a key does here; undefined if nothing. */
  key(key: string): (() => void) | undefined {
    const actions: Record<string, () => void> = {
      " ": () => this.toggle(),
      j: () => this.shuttle(-1), J: () => this.shuttle(-1),
      k: () => this.driven()?.pause(), K: () => this.driven()?.pause(),
      l: () => this.shuttle(1), L: () => this.shuttle(1),
      ",": () => this.step(-1),
      ".": () => this.step(1),
      "<": () => this.notch(-1),
      ">": () => this.notch(1),
    };
    return actions[key];
  }

  private toggle() {
    const driven = this.driven();
    if (driven?.paused) driven.play();
    else driven?.pause();
  }

  private shuttle(direction: 1 | -1) {
    const driven = this.driven();
    driven?.setSpeed(shuttle(driven.speed, driven.paused, direction));
  }

  private setSize(size: number) {
    const driven = this.driven();
    driven?.setSpeed(driven.speed < 0 ? -size : size);
  }

  private notch(by: 1 | -1) {
    const driven = this.driven();
    driven?.setSpeed(notch(driven.speed, by));
  }

  private step(direction: 1 | -1) {
    this.driven()?.step(direction);
  }
}

function press(button: HTMLButtonElement, pressed: boolean) {
  const text = String(pressed);
  if (button.getAttribute("aria-pressed") !== text) button.setAttribute("aria-pressed", text);
}

/** What the transport's keys do, for the list of keys. */
export const TRANSPORT_KEYS: [string, string][] = [
  ["space", "play or pause"],
  ["j k l", "backwards, pause, forwards; again: twice as fast"],
  [", .", "one frame back or on"],
  ["< >", "slower, faster"],
];

// A small line plot of a value over the last minutes.

import { h } from "./dom";

export class Plot {
  readonly element: HTMLElement;
  private readonly canvas = h("canvas", { class: "plot" });
  private readonly value = h("strong");
  private points: { t: number; v: number }[] = [];

  constructor(title: string, private readonly show: (v: number) => string, private readonly minutes = 5) {
    this.element = h("figure", {}, h("figcaption", {}, title, " ", this.value), this.canvas);
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", title);
  }

  add(v: number) {
    const t = Date.now();
    this.points.push({ t, v });
    this.points = this.points.filter((p) => p.t > t - this.minutes * 60_000);
    this.value.textContent = this.show(v);
    this.paint(t);
  }

  private paint(now: number) {
    const canvas = this.canvas;
    const scale = window.devicePixelRatio || 1;
    const [w, height] = [canvas.clientWidth, canvas.clientHeight];
    canvas.width = w * scale;
    canvas.height = height * scale;
    const g = canvas.getContext("2d");
    if (!g) return;
    g.scale(scale, scale);
    const style = getComputedStyle(canvas);
    const top = Math.max(...this.points.map((p) => p.v), 1e-9) * 1.15;
    const x = (t: number) => w - ((now - t) / (this.minutes * 60_000)) * w;
    const y = (v: number) => height - 2 - (v / top) * (height - 16);
    g.strokeStyle = style.getPropertyValue("--line");
    g.fillStyle = style.getPropertyValue("--dim");
    g.font = "10px system-ui, sans-serif";
    for (let m = 1; m < this.minutes; m++) {
      const at = Math.round(x(now - m * 60_000)) + 0.5;
      g.beginPath();
      g.moveTo(at, 12);
      g.lineTo(at, height);
      g.stroke();
      g.fillText(`-${m} min`, at + 3, 10);
    }
    g.fillText(this.show(top / 1.15), 2, 10);
    g.strokeStyle = style.getPropertyValue("--accent");
    g.lineWidth = 1.5;
    g.beginPath();
    this.points.forEach((p, i) => (i ? g.lineTo(x(p.t), y(p.v)) : g.moveTo(x(p.t), y(p.v))));
    g.stroke();
  }
}

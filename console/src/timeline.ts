// The timeline on a canvas: spans, ticks, the play head, the selection. Pointer, wheel, pinch.

import { clock, day } from "./format";
import { outAt, pan, reveal, ticks, toTime, toX, zoom, type OutRange, type Range } from "./timeline-core";

export interface TimelineEvents {
  /** A click: play from here. */
  seek(t: number): void;
  /** The view moved: spans for it may be missing. */
  moved(view: Range): void;
  selected(selection: Range | undefined): void;
}

export class Timeline {
  readonly element = document.createElement("canvas");
  view: Range = { from: Date.now() - 3_600_000, to: Date.now() + 60_000 };
  /** What is recorded: a line for each of the streams on show. */
  lanes: Range[][] = [];
  /** What of it is out. */
  out: OutRange[][] = [];
  head: number | undefined;
  selection: Range | undefined;
  private hover: number | undefined;
  private pointers = new Map<number, number>();
  private drag: { x: number; view: Range; moved: boolean; select: boolean } | undefined;
  private queued = false;
  private readonly observer = new ResizeObserver(() => this.draw());

  constructor(private readonly events: TimelineEvents) {
    const canvas = this.element;
    canvas.className = "timeline";
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "slider");
    canvas.setAttribute("aria-label", "Timeline: click to play from there, drag to move, wheel to zoom");
    canvas.addEventListener("pointerdown", (e) => this.down(e));
    canvas.addEventListener("pointermove", (e) => this.move(e));
    canvas.addEventListener("pointerup", (e) => this.up(e));
    canvas.addEventListener("pointercancel", (e) => this.release(e));
    canvas.addEventListener("pointerleave", () => this.point(undefined));
    canvas.addEventListener("wheel", (e) => this.wheel(e), { passive: false });
    this.observer.observe(canvas);
  }

  close() {
    this.observer.disconnect();
  }

  show(view: Range) {
    this.view = view;
    this.events.moved(view);
    this.draw();
  }

  /** Zooms about what is being watched if it is in view, else about the middle. */
  zoomBy(factor: number) {
    const { from, to } = this.view;
    const at = this.head ?? Date.now();
    this.show(zoom(this.view, factor, at >= from && at <= to ? at : (from + to) / 2));
  }

  /** Puts the play head at `t`. The view goes with it if `t` was sought or the head was in view before. */
  moveHead(t: number, sought: boolean) {
    const { from, to } = this.view;
    const watched = this.head === undefined || (this.head >= from && this.head <= to);
    this.head = t;
    const view = sought || watched ? reveal(this.view, t, sought ? 0.5 : 0.1) : this.view;
    if (view === this.view) this.draw();
    else this.show(view);
  }

  select(selection: Range | undefined) {
    this.selection = selection;
    this.events.selected(selection);
    this.draw();
  }

  /** Draws soon, once however often it is asked. */
  draw() {
    if (this.queued) return;
    this.queued = true;
    requestAnimationFrame(() => {
      this.queued = false;
      this.paint();
    });
  }

  private get width() {
    return this.element.clientWidth || 1;
  }

  private timeOf(e: PointerEvent | WheelEvent) {
    return toTime(this.view, this.width, e.offsetX);
  }

  private down(e: PointerEvent) {
    this.element.setPointerCapture(e.pointerId);
    this.pointers.set(e.pointerId, e.offsetX);
    this.drag = { x: e.offsetX, view: this.view, moved: false, select: e.shiftKey };
  }

  private move(e: PointerEvent) {
    this.point(this.timeOf(e));
    const before = this.pointers.get(e.pointerId);
    if (before === undefined || !this.drag) return;
    if (this.pointers.size === 2) {
      this.pinch(e.pointerId, e.offsetX);
    } else if (Math.abs(e.offsetX - this.drag.x) > 4 || this.drag.moved) {
      this.drag.moved = true;
      if (this.drag.select) {
        const a = toTime(this.view, this.width, this.drag.x);
        const b = this.timeOf(e);
        this.select({ from: Math.min(a, b), to: Math.max(a, b) });
      } else {
        const perPixel = (this.view.to - this.view.from) / this.width;
        this.show(pan(this.drag.view, (this.drag.x - e.offsetX) * perPixel));
      }
    }
    this.pointers.set(e.pointerId, e.offsetX);
  }

  private pinch(id: number, x: number) {
    const other = [...this.pointers].find(([key]) => key !== id)?.[1] ?? 0;
    const before = Math.abs((this.pointers.get(id) ?? 0) - other);
    const now = Math.abs(x - other);
    if (this.drag) this.drag.moved = true;
    if (before > 10 && now > 10) {
      this.show(zoom(this.view, before / now, toTime(this.view, this.width, (x + other) / 2)));
    }
  }

  private up(e: PointerEvent) {
    if (this.drag && !this.drag.moved && this.pointers.size === 1) this.events.seek(this.timeOf(e));
    this.release(e);
  }

  private release(e: PointerEvent) {
    this.pointers.delete(e.pointerId);
    const rest = [...this.pointers.values()][0];
    this.drag = rest === undefined ? undefined : { x: rest, view: this.view, moved: true, select: false };
  }

  private wheel(e: WheelEvent) {
    e.preventDefault();
    const perPixel = (this.view.to - this.view.from) / this.width;
    if (Math.abs(e.deltaX) > Math.abs(e.deltaY)) this.show(pan(this.view, e.deltaX * perPixel));
    else this.show(zoom(this.view, Math.exp(e.deltaY * 0.002), this.timeOf(e)));
  }

  private point(t: number | undefined) {
    this.hover = t;
    this.draw();
  }

  private paint() {
    const canvas = this.element;
    const scale = window.devicePixelRatio || 1;
    const [width, height] = [this.width, canvas.clientHeight];
    canvas.width = width * scale;
    canvas.height = height * scale;
    const g = canvas.getContext("2d");
    if (!g) return;
    g.scale(scale, scale);
    const style = getComputedStyle(canvas);
    const colour = (name: string) => style.getPropertyValue(name);
    g.font = "11px system-ui, sans-serif";
    const axis = height - 18;
    for (const tick of ticks(this.view, width, -new Date(this.view.from).getTimezoneOffset() * 60_000)) {
      const x = Math.round(toX(this.view, width, tick.time)) + 0.5;
      g.strokeStyle = colour(tick.strong ? "--line-strong" : "--line");
      line(g, x, 0, axis + 4);
      g.fillStyle = colour("--dim");
      g.fillText(tick.label, x + 3, height - 4);
    }
    const lane = (axis - 20) / Math.max(1, this.lanes.length);
    const tall = Math.max(1, lane - (this.lanes.length > 1 ? 2 : 0));
    g.fillStyle = colour("--span");
    for (const [i, spans] of this.lanes.entries()) this.bars(g, spans, 14 + i * lane, tall);
    g.fillStyle = colour("--out");
    for (const [i, out] of this.out.entries()) this.bars(g, out, 14 + i * lane, tall);
    if (this.selection) {
      const x = toX(this.view, width, this.selection.from);
      g.fillStyle = colour("--selection");
      g.fillRect(x, 4, Math.max(2, toX(this.view, width, this.selection.to) - x), axis - 4);
    }
    this.marker(g, Date.now(), colour("--live"), axis);
    if (this.hover !== undefined) this.pointed(g, this.hover, colour, axis, width);
    if (this.head !== undefined) this.marker(g, this.head, colour("--accent"), axis, 2.5);
    canvas.setAttribute("aria-valuetext", this.head === undefined ? "live" : new Date(this.head).toLocaleString());
    canvas.setAttribute("aria-valuenow", String(Math.round(this.head ?? Date.now())));
  }

  private bars(g: CanvasRenderingContext2D, spans: readonly Range[], y: number, height: number) {
    const width = this.width;
    for (const span of spans) {
      const x = Math.max(-1, toX(this.view, width, span.from));
      const end = Math.min(width + 1, toX(this.view, width, span.to));
      if (end >= 0 && x <= width) g.fillRect(x, y, Math.max(1, end - x), height);
    }
  }

  private marker(g: CanvasRenderingContext2D, t: number, colour: string, axis: number, width = 1) {
    g.strokeStyle = colour;
    g.lineWidth = width;
    line(g, toX(this.view, this.width, t), 0, axis);
    g.lineWidth = 1;
  }

  private pointed(g: CanvasRenderingContext2D, t: number, colour: (name: string) => string, axis: number, width: number) {
    const at = new Date(t);
    const close = this.view.to - this.view.from < 120_000;
    const text = `${day(at)} ${clock(at)}${close ? `.${String(at.getMilliseconds()).padStart(3, "0")}` : ""}${outAt(this.out, t)}`;
    const x = toX(this.view, width, t);
    this.marker(g, t, colour("--dim"), axis);
    const w = g.measureText(text).width + 8;
    const left = Math.min(Math.max(0, x + 4), width - w);
    g.fillStyle = colour("--panel");
    g.fillRect(left, 0, w, 14);
    g.fillStyle = colour("--text");
    g.fillText(text, left + 4, 11);
  }
}

function line(g: CanvasRenderingContext2D, x: number, from: number, to: number) {
  g.beginPath();
  g.moveTo(x, from);
  g.lineTo(x, to);
  g.stroke();
}

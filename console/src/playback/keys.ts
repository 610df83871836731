// Where the groups of pictures of a recording begin: asked of the node page by page, kept while needed.

import { api, ApiError, type Key } from "../api";
import type { Range } from "../timeline-core";
import { parseTime, stamp } from "./time";

/** A group of pictures: it begins with one that needs no other. */
export interface Group {
  /** Its first picture's capture time. */
  time: number;
  /** The same as the node writes it. */
  at: string;
  /** Where it ends, as the node writes it. */
  until: string;
}

interface Page {
  groups?: Group[];
  /** Where the span ended, of which it holds the end; undefined if it is whole. */
  until: number | undefined;
  asked: number;
}

/** How soon a page that has grown is asked for again. */
const AGAIN_MS = 500;
const PAGES_MAX = 40;
const ANSWERS_MAX = 50;

/** The groups of one stream, or one of them every so often. */
export class KeyIndex {
  private readonly pages = new Map<number, Page>();

  /**
   * `every_ms`: groups nearer to one another than this are left out. `fetched`: pages are so long.
   * `failed` is told why a page can't be had.
   */
  constructor(
    private readonly name: string,
    private readonly every_ms: number,
    private readonly page_ms: number,
    private readonly failed: (error: unknown) => void,
  ) {}

  /** The group on show at `t` within a span; undefined until it is known, null if there is none. */
  at(t: number, span: Range): Group | undefined | null {
    for (let number = this.number(t); ; number--) {
      const page = this.page(number, span);
      if (!page.groups) return undefined;
      const group = page.groups.findLast((g) => g.time <= t + SLACK_MS);
      if (group) return group.time >= span.from - this.page_ms ? group : null;
      if (number * this.page_ms <= span.from) return null;
    }
  }

  /** The group after one, within its span; undefined until it is known, null at the end. */
  after(group: Group, span: Range): Group | undefined | null {
    for (let number = this.number(group.time); number * this.page_ms < span.to; number++) {
      const page = this.page(number, span);
      if (!page.groups) return undefined;
      const next = page.groups.find((g) => g.time > group.time + SLACK_MS);
      if (next) return next.time < span.to ? next : null;
    }
    return null;
  }

  /** The group before one, within its span; undefined until it is known, null at the beginning. */
  before(group: Group, span: Range): Group | undefined | null {
    const t = group.time - 2 * SLACK_MS;
    return t < span.from ? null : this.at(t, span);
  }

  private number(t: number) {
    return Math.floor(t / this.page_ms);
  }

  private page(number: number, span: Range): Page {
    const known = this.pages.get(number);
    const now = performance.now();
    const grown = known?.until !== undefined && span.to > known.until;
    if (known && !(grown && known.groups && now - known.asked > AGAIN_MS)) return known;
    const page: Page = { groups: known?.groups, until: (number + 1) * this.page_ms >= span.to ? span.to : undefined, asked: now };
    this.pages.set(number, page);
    for (const old of this.pages.keys()) if (this.pages.size > PAGES_MAX && old !== number) this.pages.delete(old);
    this.load(number, page).catch((error: unknown) => {
      if (!page.groups) this.pages.delete(number);
      this.failed(error);
    });
    return page;
  }

  private async load(number: number, page: Page) {
    const [from, to] = [number * this.page_ms, (number + 1) * this.page_ms];
    const found: Key[] = [];
    let next: string | null | undefined = stamp(from);
    for (let answers = 0; next && answers < ANSWERS_MAX; answers++) {
      const answer: { keys: Key[]; next?: string | null } = await api.keys(this.name, next, stamp(to), this.every_ms).catch(nothing);
      found.push(...answer.keys);
      next = answer.next;
    }
    const groups = found.map((k) => ({ time: parseTime(k.time), at: k.time, until: k.until }));
    page.groups = groups.filter((g) => g.time >= from && g.time < to);
  }
}

/** Nothing recorded there is a page without groups. */
function nothing(error: unknown): { keys: Key[]; next?: string | null } {
  if (error instanceof ApiError && error.status === 404) return { keys: [] };
  throw error;
}

/** Times that are compared have gone through numbers. */
const SLACK_MS = 0.01;

// One stream's recording as pictures: which is on show at an instant, and those before and behind it
// fetched and decoded ahead. Without a screen: what is drawn is the tile's business.

import { ApiError } from "../api";
import type { Range } from "../timeline-core";
import { WindowDecoder, type Picture, type Size } from "./decoder";
import { JPEG } from "./demux";
import { KeyIndex, type Group } from "./keys";
import { fetchGroup } from "./media";
import { EDGE_MS, playable, spanAt } from "./spans";
import { KEY_PICTURE_MS, keysOnly } from "./speed";
import { whyNoCodec } from "./support";
import { indexAt, shown, windowCount, windowLength, windowOf, type Shown } from "./windows";

/** What there is to show at an instant. */
export interface Sight {
  /** `none`: nothing is recorded then. `late`: it is not decoded yet; the picture is the nearest there is. */
  state: "shown" | "late" | "none";
  picture?: Picture | undefined;
}

/** What a reel is given. */
export interface ReelOptions {
  name: string;
  /** How many share the memory. */
  angles: number;
  /** How large pictures are kept. */
  size: (coded: Size) => Size;
  /** The promise to fetch under. */
  playback: () => number | undefined;
  /** Told why something can't be fetched or decoded. */
  failed: (error: unknown) => void;
}

/** A group that is fetched, and its windows that are decoded. */
interface Held {
  group: Group;
  keyOnly: boolean;
  abort: AbortController;
  shown?: Shown;
  /** When it failed, to try again later; and whether there is no hope. */
  failedAt?: number;
  lost?: boolean;
  windows: Map<number, { pictures?: Picture[]; used: number }>;
  used: number;
}

/** So far ahead is fetched, of the viewer's time. */
const FETCH_AHEAD_MS = 3000;
const FETCHES_MAX = 4;
const PAGE_MS = 30_000;
/** Answers to a request for what was deleted, or is more than a file may be. */
const HOPELESS = [404, 410, 422];
const AGAIN_MS = 1500;
/** Windows decoded ahead; of key pictures, each is one. */
const AHEAD = 2;
const AHEAD_KEYS = 10;

export class Reel {
  spans: Range[] = [];
  private readonly held = new Map<string, Held>();
  private readonly indexes = new Map<number, KeyIndex>();
  private readonly decoder: WindowDecoder;
  private round = 0;
  private closed = false;
  private refusedCodec: string | undefined;

  constructor(private readonly options: ReelOptions) {
    this.decoder = new WindowDecoder(options.size);
  }

  close() {
    this.closed = true;
    for (const held of this.held.values()) release(held);
    this.held.clear();
    this.decoder.close();
  }

  /** What is on show at `t`; has fetched and decoded what is needed soon, playing at `speed`. */
  sight(t: number, speed: number, paused: boolean): Sight {
    this.round++;
    const span = spanAt(this.spans, t);
    if (!span) return { state: "none" };
    const keyOnly = !paused && keysOnly(speed);
    const index = this.index(keyOnly ? Math.abs(speed) * KEY_PICTURE_MS : 0);
    const group = index.at(t, span);
    if (group === null) return { state: "none" };
    if (group) {
      const direction = speed < 0 ? -1 : 1;
      this.prepare(index, span, group, t, direction, keyOnly, keyOnly ? Math.abs(speed) : 1);
      if (paused) this.prepare(index, span, group, t, -direction, keyOnly, 0);
    }
    const picture = group && this.find(group, keyOnly, t);
    this.forget(keyOnly);
    if (picture === null) return { state: "none" };
    return picture ? { state: "shown", picture } : { state: "late", picture: this.nearestTo(t) };
  }

  /** When the picture before or behind the one on show at `t` was captured; undefined at the ends. */
  async neighbour(t: number, direction: number): Promise<number | undefined> {
    const here = await this.times(t);
    const next = here?.[indexAt(here, t) + direction];
    return next ?? this.beyond(t, direction);
  }

  /** The first picture of the next group, or the last of the one before, across gaps. */
  private async beyond(t: number, direction: number): Promise<number | undefined> {
    const span = spanAt(this.spans, t);
    if (span) {
      const index = this.index(0);
      const group = await this.settled(() => index.at(t, span));
      const next = group && (await this.settled(() => (direction > 0 ? index.after(group, span) : index.before(group, span))));
      if (next) {
        const times = await this.timesOf(next);
        return direction > 0 ? times?.[0] : times?.[times.length - 1];
      }
    }
    const edge = span ? (direction > 0 ? span.to : span.from - EDGE_MS) : t;
    const other = playable([this.spans], edge, direction);
    if (other === undefined || (span && other >= span.from && other < span.to)) return undefined;
    const times = await this.times(other);
    return direction > 0 ? times?.[0] : times?.[times.length - 1];
  }

  private async times(t: number): Promise<number[] | undefined> {
    const span = spanAt(this.spans, t);
    const group = span && (await this.settled(() => this.index(0).at(t, span)));
    return group ? this.timesOf(group) : undefined;
  }

  private async timesOf(group: Group): Promise<number[] | undefined> {
    return (await this.settled(() => this.hold(group, false).shown))?.times;
  }

  /** Waits until something that is being fetched is known. */
  private async settled<T>(look: () => T | undefined): Promise<T | undefined> {
    const end = performance.now() + 5000;
    for (let value = look(); ; value = look()) {
      if (value !== undefined || this.closed || performance.now() > end) return value;
      await new Promise((done) => setTimeout(done, 15));
    }
  }

  private index(every_ms: number): KeyIndex {
    let index = this.indexes.get(every_ms);
    if (!index) {
      const page_ms = Math.max(PAGE_MS, every_ms * 100);
      index = new KeyIndex(this.options.name, every_ms, page_ms, this.options.failed);
      this.indexes.set(every_ms, index);
    }
    return index;
  }

  /** Fetches and decodes what is on show at `t` and what follows. */
  private prepare(index: KeyIndex, span: Range, first: Group, t: number, direction: number, keyOnly: boolean, speed: number) {
    let windows = speed === 0 ? 2 : 1 + (keyOnly ? AHEAD_KEYS : AHEAD);
    let group: Group | undefined | null = first;
    while (group) {
      const held = this.hold(group, keyOnly);
      if (held.shown) windows -= this.decodeAhead(held, held.shown, group === first ? t : undefined, direction, windows);
      else windows = Math.min(windows, 0);
      group = direction > 0 ? index.after(group, span) : index.before(group, span);
      const enough = group && Math.abs(group.time - t) > FETCH_AHEAD_MS * speed && (windows <= 0 || !held.shown);
      if (enough || this.fetches() >= FETCHES_MAX) break;
    }
  }

  private fetches() {
    let count = 0;
    for (const held of this.held.values()) if (!held.shown && held.failedAt === undefined) count++;
    return count;
  }

  /** Has windows of a group decoded, at most `most`, from the one at `t`, or from its nearer end; how many. */
  private decodeAhead(held: Held, group: Shown, t: number | undefined, direction: number, most: number): number {
    const count = windowCount(group);
    const begin = t !== undefined ? windowOf(group, indexAt(group.times, t)) : direction > 0 ? 0 : count - 1;
    let done = 0;
    for (let window = begin; window >= 0 && window < count && done < most; window += direction, done++) {
      const known = held.windows.get(window);
      if (known) known.used = this.round;
      else this.decode(held, group, window);
    }
    return done;
  }

  private decode(held: Held, group: Shown, window: number) {
    const entry: { pictures?: Picture[]; used: number } = { used: this.round };
    held.windows.set(window, entry);
    const wanted = () => !this.closed && held.windows.get(window) === entry;
    this.decoder.decode(group, window, wanted).then(
      (pictures) => {
        if (wanted()) entry.pictures = pictures ?? [];
        else pictures?.forEach((p) => p.image.close());
      },
      (error: unknown) => {
        entry.pictures = [];
        if (!this.closed) this.options.failed(error);
      },
    );
  }

  /** A group that is held; fetched if it was not. */
  private hold(group: Group, keyOnly: boolean): Held {
    const name = `${keyOnly ? "key" : "all"} ${group.at} ${keyOnly ? "" : group.until}`;
    const known = this.held.get(name);
    const again = known?.failedAt !== undefined && performance.now() - known.failedAt > AGAIN_MS;
    if (known && !again) {
      known.used = this.round;
      return known;
    }
    const held: Held = { group, keyOnly, abort: new AbortController(), windows: new Map(), used: this.round };
    this.held.set(name, held);
    this.fetch(held).catch((error: unknown) => {
      if (held.abort.signal.aborted) return;
      held.failedAt = performance.now();
      held.lost = this.refusedCodec !== undefined || (error instanceof ApiError && HOPELESS.includes(error.status ?? 0));
      this.options.failed(error);
    });
    return held;
  }

  private async fetch(held: Held) {
    const { name, playback, size, angles } = this.options;
    const pictures = await fetchGroup(name, held.group, held.keyOnly, playback(), held.abort.signal);
    if (pictures.coded.length > 0 && pictures.config.codec !== JPEG) {
      this.refusedCodec ??= await whyNoCodec(pictures.config);
      if (this.refusedCodec) throw new Error(this.refusedCodec);
    }
    const { codedWidth = 0, codedHeight = 0 } = pictures.config;
    const kept = size({ width: codedWidth, height: codedHeight });
    held.shown = shown(pictures, held.group.time, windowLength(kept.width, kept.height, angles));
  }

  /** The picture at `t`; undefined until it is decoded, null if it can't be. */
  private find(group: Group, keyOnly: boolean, t: number): Picture | undefined | null {
    const held = this.hold(group, keyOnly);
    if (!held.shown) return held.lost ? null : undefined;
    if (held.shown.times.length === 0) return null;
    const pictures = held.windows.get(windowOf(held.shown, indexAt(held.shown.times, t)))?.pictures;
    return pictures && (pictures[indexAt(pictures.map((p) => p.time), t)] ?? null);
  }

  private nearestTo(t: number): Picture | undefined {
    let best: Picture | undefined;
    for (const held of this.held.values()) {
      for (const { pictures } of held.windows.values()) {
        for (const p of pictures ?? []) if (!best || Math.abs(p.time - t) < Math.abs(best.time - t)) best = p;
      }
    }
    return best;
  }

  /** Lets go of what was not wanted for longest. */
  private forget(keyOnly: boolean) {
    const windows = [...this.held.values()].flatMap((held) => [...held.windows].map(([number, w]) => ({ held, number, used: w.used })));
    windows.sort((a, b) => a.used - b.used);
    const spare = windows.length - (keyOnly ? AHEAD_KEYS + AHEAD : 2 + AHEAD);
    for (const { held, number, used } of windows.slice(0, Math.max(0, spare))) {
      if (used >= this.round) break;
      held.windows.get(number)?.pictures?.forEach((p) => p.image.close());
      held.windows.delete(number);
    }
    const groups = [...this.held].sort(([, a], [, b]) => a.used - b.used);
    for (const [name, held] of groups.slice(0, Math.max(0, groups.length - GROUPS_MAX))) {
      if (held.used >= this.round) break;
      release(held);
      this.held.delete(name);
    }
  }
}

/** Coded groups kept; they are small beside decoded ones. */
const GROUPS_MAX = 24;

function release(held: Held) {
  held.abort.abort();
  for (const { pictures } of held.windows.values()) pictures?.forEach((p) => p.image.close());
  held.windows.clear();
}

// The node's promise that what is asked for plays without a stall: asked for, renewed, given back. A
// node that gives no promises is played from as it is.

import { ApiError, type Playback } from "../api";

/** The requests, so that a test can stand in for the node. */
export interface PlaybackApi {
  askPlayback(streams: string[], from: string, scale: number): Promise<Playback>;
  keepPlayback(id: number, scale?: number): Promise<Playback | undefined>;
  endPlayback(id: number): Promise<unknown>;
}

/** How often it is renewed while it lasts, and how soon again if the node did not answer. */
const RENEWALS = 3;
const AGAIN_MS = 2000;

export class Admission {
  private promise: Playback | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private ended = false;
  private scale = 1;
  /** Settles with the change of speed before; changes never fail, they are refused. */
  private turn: Promise<unknown> = Promise.resolve();

  /** `where` says from when on; `refused` is told why, if a promise that expired is not given again. */
  constructor(
    private readonly api: PlaybackApi,
    private readonly streams: string[],
    private readonly where: () => string,
    private readonly refused: (why: string) => void,
  ) {}

  /** Number of the promise, for what is fetched under it. */
  get id(): number | undefined {
    return this.promise?.id;
  }

  /** Asks for it; why it is refused, or nothing. */
  async ask(scale: number): Promise<string | undefined> {
    this.ended = false;
    this.scale = scale;
    this.stop();
    try {
      const promise = await this.api.askPlayback(this.streams, this.where(), scale);
      if (this.ended) void this.api.endPlayback(promise.id).catch(() => undefined);
      else this.hold(promise);
      return undefined;
    } catch (error) {
      // No such route: this node gives no promises. No answer: what is fetched will tell.
      return error instanceof ApiError && error.status === 503 ? error.message : undefined;
    }
  }

  /** Another speed; why it is refused, or nothing. One after the other, so that the last is what the node holds. */
  change(scale: number): Promise<string | undefined> {
    const turn = this.turn.then(() => this.changeNow(scale));
    this.turn = turn;
    return turn;
  }

  private async changeNow(scale: number): Promise<string | undefined> {
    if (scale === this.scale) return undefined;
    if (!this.promise) {
      this.scale = scale;
      return undefined;
    }
    try {
      await this.renew(scale);
    } catch (error) {
      if (error instanceof ApiError && error.status === 503) return error.message;
      if (error instanceof ApiError && error.status === 404) return this.ask(scale);
    }
    this.scale = scale;
    return undefined;
  }

  /** Gives it back. */
  end() {
    this.ended = true;
    this.stop();
    const { promise } = this;
    this.promise = undefined;
    if (promise) void this.api.endPlayback(promise.id).catch(() => undefined);
  }

  private stop() {
    clearTimeout(this.timer);
  }

  private hold(promise: Playback) {
    this.promise = promise;
    this.again(promise.expires_in_ms / RENEWALS);
  }

  private again(ms: number) {
    this.stop();
    this.timer = setTimeout(() => void this.round(), ms);
  }

  private async renew(scale?: number) {
    if (!this.promise) return;
    const answer = await this.api.keepPlayback(this.promise.id, scale);
    if (!this.ended && this.promise) this.hold({ ...this.promise, ...answer });
  }

  private async round() {
    try {
      await this.renew();
    } catch (error) {
      if (this.ended) return;
      if (!(error instanceof ApiError) || error.status === undefined) return this.again(AGAIN_MS);
      // It expired, as while the machine slept.
      this.promise = undefined;
      const why = await this.ask(this.scale);
      if (why) this.refused(why);
    }
  }
}

// What the transport's buttons and keys drive: recordings on one clock, however they are shown.

/** Recordings being played. */
export interface RecordingPlayer {
  element: HTMLElement;
  /** Negative is backwards. */
  readonly speed: number;
  readonly paused: boolean;
  /** Why there is nothing else but forwards here; nothing if all is possible. */
  readonly limited: string | undefined;
  /** The instant on show, milliseconds since the epoch. */
  time(): number | undefined;
  /** Where something is recorded, a lane for each angle. */
  setSpans(lanes: { from: number; to: number }[][], growing: boolean): void;
  pause(): void;
  play(): void;
  /** Plays at a speed, or says why not where it shows sentences. */
  setSpeed(speed: number): void;
  seek(t: number): void;
  /** To the next frame (1) or the one before (-1), and stops there. */
  step(direction: 1 | -1): void;
  close(): void;
}

/** What a player tells its page. */
export interface PlayerEvents {
  /** A sentence about what happens now; empty when there is none. */
  say(text: string): void;
  /** Speed, pause or state changed. */
  changed(): void;
}

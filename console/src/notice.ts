// What a live connection says beside its pictures, as a sentence for the one who watches. Pure.

import { duration } from "./format";

/** A text message of the live WebSocket; see docs/ref/api.md. */
export interface LiveMessage {
  mime?: string;
  /** Capture time of media time zero, milliseconds since the epoch. */
  epoch_ms?: number;
  /** The viewer was too slow: from when to when, RFC 3339. */
  missed?: { units: number; from: string; to: string };
  /** The publisher has left. */
  idle?: boolean;
  /** Nothing can be sent, and why. */
  error?: string;
}

/** A sentence over the picture. */
export interface Notice {
  text: string;
  /** How long it stays, milliseconds; without it, until something else is said. */
  ms?: number;
}

/** How long it is told that something was missed. */
export const MISSED_MS = 8000;

/** What stands over the picture, from one thing that happens to the next. Times are milliseconds of any clock. */
export class Notices {
  /** Why there is no picture now. */
  private state: string | undefined;
  private missedMs = 0;
  private missedUntil = 0;

  /** Takes a message that came at `now`. Yields what stands there from now on, if anything. */
  message(message: LiveMessage, now: number): Notice | undefined {
    if (message.error !== undefined) this.state = sentence(message.error);
    else if (message.idle) this.state = "Waiting for the camera.";
    else if (message.mime !== undefined) this.state = undefined;
    else if (message.missed) this.miss(Date.parse(message.missed.to) - Date.parse(message.missed.from), now);
    return this.notice(now);
  }

  /** The connection is gone; another is tried. */
  disconnected(now: number): Notice | undefined {
    // What the node said last explains more.
    this.state ??= "The connection is lost. Trying again.";
    return this.notice(now);
  }

  /** It is there again. */
  connected(now: number): Notice | undefined {
    this.state = undefined;
    return this.notice(now);
  }

  private notice(now: number): Notice | undefined {
    if (this.state !== undefined) return { text: this.state };
    if (now >= this.missedUntil) return undefined;
    const text = `Missed ${duration(this.missedMs / 1000)}: this connection is too slow.`;
    return { text, ms: this.missedUntil - now };
  }

  /** What is missed again while that is being told is added up. */
  private miss(ms: number, now: number) {
    this.missedMs = (now < this.missedUntil ? this.missedMs : 0) + Math.max(0, ms || 0);
    this.missedUntil = now + MISSED_MS;
  }
}

/** `browsers don't play mjpeg` as a sentence of its own. */
export function sentence(clause: string): string {
  const text = clause.trim() || "nothing can be shown";
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}

// The one clock that all pictures follow: an instant of the recording that moves at a speed. It may be
// held while pictures are late. Pure: `now` is milliseconds of any clock that only goes forward.

export class MasterClock {
  private at: number;
  private since = 0;
  private speed = 1;
  private running = false;

  constructor(t: number) {
    this.at = t;
  }

  /** The instant of the recording. */
  time(now: number): number {
    return this.running ? this.at + (now - this.since) * this.speed : this.at;
  }

  /** Jumps. */
  set(t: number, now: number) {
    this.at = t;
    this.since = now;
  }

  /** Runs at a speed from where it is. */
  run(speed: number, now: number) {
    this.set(this.time(now), now);
    this.speed = speed;
    this.running = true;
  }

  /** Stands still. */
  hold(now: number) {
    this.set(this.time(now), now);
    this.running = false;
  }
}

/** How long one late angle may keep all others waiting, milliseconds. */
export const HOLD_MAX_MS = 400;
/** The same for the first picture after a jump. */
export const FIRST_MAX_MS = 2500;
/** How long an angle has to keep up before the others wait for it again. */
export const TRUST_MS = 3000;

/** Who is waited for. An angle that is late holds all for a moment, and is then left to catch up. */
export class Patience {
  private readonly angles: { lateSince?: number; leftAt?: number }[];
  private max = FIRST_MAX_MS;

  constructor(count: number) {
    this.angles = Array.from({ length: count }, () => ({}));
  }

  /** After a jump everybody is waited for anew, for longer. */
  jumped() {
    for (let i = 0; i < this.angles.length; i++) this.angles[i] = {};
    this.max = FIRST_MAX_MS;
  }

  /** Whether the clock waits, given who is late (and who has something to show at all). */
  waits(late: readonly boolean[], concerned: readonly boolean[], now: number): boolean {
    let wait = false;
    let onTime = false;
    for (const [i, angle] of this.angles.entries()) {
      if (!concerned[i]) {
        this.angles[i] = {};
        continue;
      }
      if (!late[i]) {
        onTime = true;
        angle.lateSince = undefined;
        continue;
      }
      angle.lateSince ??= now;
      const left = angle.leftAt !== undefined && angle.lateSince - angle.leftAt < TRUST_MS;
      if (!left && now - angle.lateSince < this.max) wait = true;
      else angle.leftAt = now;
    }
    const some = concerned.some(Boolean);
    if (some && !wait && onTime) this.max = HOLD_MAX_MS;
    return some && (wait || !onTime);
  }
}

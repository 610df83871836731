// Of answers under way, the one asked for last counts. Pure.

/** Keeps an answer that comes late from taking the place of a newer one, as when a list is asked for again after a change. */
export class Latest {
  private asked = 0;
  private shown = 0;

  /** Asks, and yields the answer, or undefined if one that was asked for later has come before. Throws what `ask` throws, under the same condition. */
  async ask<T>(ask: () => Promise<T>): Promise<{ answer: T } | undefined> {
    const mine = ++this.asked;
    try {
      const answer = await ask();
      return this.comes(mine) ? { answer } : undefined;
    } catch (error) {
      if (this.comes(mine)) throw error;
      return undefined;
    }
  }

  private comes(mine: number): boolean {
    if (mine < this.shown) return false;
    this.shown = mine;
    return true;
  }
}

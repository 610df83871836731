// Which player a recording gets here. What plays is loaded when it is needed first.

import type { PlayerEvents, RecordingPlayer } from "./player";
import { whyNoDecoder } from "./support";

/** Plays one recording from an instant: picture by picture where the browser can, else as a video. */
export async function openRecording(name: string, at: number, events: PlayerEvents): Promise<RecordingPlayer> {
  const limited = whyNoDecoder();
  if (limited === undefined) return new (await import("./deck")).Deck([name], at, events);
  return new (await import("./seeking")).SeekingPlayer(name, at, limited, events);
}

// Which player a recording gets here. What plays is loaded when it is needed first.

import type { Stream } from "../api";
import type { PlayerEvents, RecordingPlayer } from "./player";
import { whyNoCodec, whyNoDecoder } from "./support";

/** Plays one recording from an instant: picture by picture where the browser can, else as a video. */
export async function openRecording(stream: Stream, at: number, events: PlayerEvents): Promise<RecordingPlayer> {
  const video = stream.tracks.find((t) => t.kind === "video");
  const codec = video?.codec === "mjpeg" ? undefined : video?.codec_string;
  const limited = whyNoDecoder() ?? (codec ? await whyNoCodec({ codec }) : undefined);
  if (limited === undefined) return new (await import("./deck")).Deck([stream.name], at, events);
  return new (await import("./seeking")).SeekingPlayer(stream.name, at, limited, events);
}

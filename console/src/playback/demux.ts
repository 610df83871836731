// An MP4 file of the node taken apart: coded pictures with their capture times. Loads mp4box.

import { createFile, MP4BoxBuffer, type Sample } from "mp4box";

/** A coded picture. */
export interface Coded {
  /** Capture time, milliseconds since the epoch. */
  time: number;
  key: boolean;
  data: Uint8Array<ArrayBuffer>;
}

/** The pictures of a file, in the order of decoding, and how to decode them. */
export interface Pictures {
  config: VideoDecoderConfig;
  coded: Coded[];
}

/** Stands for Motion JPEG where a codec is named. */
export const JPEG = "jpeg";

type Entry = Sample["description"] & Record<string, unknown>;

/** The first group of the picture track of a file whose first picture in the order of decoding was captured at `first`. */
export function demux(file: ArrayBuffer, first: number): Pictures {
  const { samples, codec } = firstGroup(table(file));
  const [begin] = samples;
  if (!begin) return { config: { codec }, coded: [] };
  const entry = begin.description as Entry & { width: number; height: number };
  const coded = samples
    .filter((s) => s.offset + s.size <= file.byteLength)
    .map((s) => ({ time: first + ((s.cts - begin.cts) / s.timescale) * 1000, key: s.is_sync, data: new Uint8Array(file, s.offset, s.size) }));
  // Motion JPEG has no decoder of its own: each picture is a file that every browser can show.
  const isJpeg = coded[0]?.data[0] === 0xff && coded[0].data[1] === 0xd8;
  const config: VideoDecoderConfig = { codec: isJpeg ? JPEG : codec, codedWidth: entry.width, codedHeight: entry.height, description: description(file, entry) };
  if (config.description === undefined) delete config.description;
  return { config, coded };
}

/** With reordered pictures the next group's first may be in the file as well. */
function firstGroup({ samples, codec }: { samples: Sample[]; codec: string }) {
  const next = samples.findIndex((s, i) => i > 0 && s.is_sync);
  return { samples: next < 0 ? samples : samples.slice(0, next), codec };
}

function table(file: ArrayBuffer): { samples: Sample[]; codec: string } {
  const box = createFile(false);
  let found: { samples: Sample[]; codec: string } | undefined;
  box.onReady = (info) => {
    const track = info.tracks.find((t) => t.video);
    if (track) found = { samples: box.getTrackSamplesInfo(track.id), codec: track.codec };
  };
  box.appendBuffer(MP4BoxBuffer.fromArrayBuffer(file, 0), true);
  box.flush();
  return found ?? { samples: [], codec: "" };
}

/** The decoder's configuration record, as it stands in the file: without the head of its box. */
function description(file: ArrayBuffer, entry: Entry): Uint8Array<ArrayBuffer> | undefined {
  const box = (entry["avcC"] ?? entry["hvcC"]) as { start: number; size: number; hdr_size: number } | undefined;
  return box && new Uint8Array(file.slice(box.start + box.hdr_size, box.start + box.size));
}

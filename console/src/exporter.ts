// Saving a selection: downloads the MP4 with progress, then hands it to the browser.

import { ApiError, exportUrl } from "./api";

/** Downloads; calls `progress` with the share done (or undefined if the length is unknown). */
export async function exportRange(
  name: string,
  from: Date,
  to: Date,
  progress: (share: number | undefined, bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const answer = await fetch(exportUrl(name, from, to), { signal });
  if (!answer.ok || !answer.body) {
    const text = await answer.text();
    throw new ApiError(text.startsWith("{") ? (JSON.parse(text) as { error: string }).error : `The node answered ${answer.status}.`);
  }
  const total = Number(answer.headers.get("content-length")) || undefined;
  const parts: BlobPart[] = [];
  let done = 0;
  const reader = answer.body.getReader();
  for (;;) {
    const { value, done: end } = await reader.read();
    if (end) break;
    parts.push(value);
    done += value.length;
    progress(total && done / total, done);
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(parts, { type: "video/mp4" }));
  link.download = `${name.slice(1).replaceAll("/", "-")}-${from.toISOString().replaceAll(":", "")}.mp4`;
  link.click();
  window.setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// Pictures of a recording, group by group, as the node sends them.

import { ApiError, exportPath, refusal } from "../api";
import { demux, type Pictures } from "./demux";
import type { Group } from "./keys";
import { stamp } from "./time";

/** The pictures of a group, or its key picture alone. `playback` is the promise that this is under. */
export async function fetchGroup(name: string, group: Group, keyOnly: boolean, playback: number | undefined, signal: AbortSignal): Promise<Pictures> {
  const until = keyOnly ? stamp(group.time + 1) : group.until;
  const answer = await get(exportPath(name, group.at, until, playback), signal);
  const pictures = demux(await answer.arrayBuffer(), group.time);
  if (keyOnly) pictures.coded.length = Math.min(1, pictures.coded.length);
  return pictures;
}

async function get(path: string, signal: AbortSignal): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(path, { signal });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new ApiError("The node can't be reached.");
  }
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

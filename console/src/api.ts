// The node's API, typed. Shapes as in docs/ref/api.md; only what the console uses.

export interface Track {
  kind: "video" | "audio";
  codec: string;
  /** As browsers name it, if they do. */
  codec_string?: string | null;
  width?: number | null;
  height?: number | null;
  clock_rate: number;
}

export interface Stream {
  name: string;
  state: "live" | "idle";
  tracks: Track[];
  recording: boolean;
  bitrate_bps: number;
}

export interface Span {
  start: string;
  end: string;
  bytes: number;
  units: number;
  /** What of it is out, in the tier; left out if nothing is. */
  out?: Out[];
}

export interface Out {
  start: string;
  end: string;
  bytes: number;
  /** How long it takes to bring it back, if that is known. */
  back_in_ms: number | null;
}

export interface Disk {
  path: string;
  state: "ok" | "slow" | "failed" | "missing" | "rebuilding" | "removing";
  errors: number;
}

export interface Spare {
  path: string;
  size_bytes: number;
}

export interface Status {
  version: string;
  uptime_s: number;
  streams: number;
  ingest_bps: number;
  store: {
    data_columns: number;
    parity_columns: number;
    capacity_bytes: number;
    used_bytes: number;
    disks: Disk[];
    spares: Spare[];
    care: { work: Work | null };
    forecast: Forecast;
  };
  files: Files;
}

/** The ordinary files beside the recordings. */
export interface Files {
  mounts: string[];
  /** What can be written; null before the first mount. */
  free_bytes: number | null;
  trouble: string | null;
}

/** What becomes of the room, if recording goes on as in the last ten minutes. */
export interface Forecast {
  fill_bytes_per_s: number;
  full_at: string | null;
  keeps_s: number | null;
}

/** What is done for the disks. */
export interface Work {
  kind: "rebuild" | "scrub" | "removal";
  slots_done: number;
  slots_total: number;
  repaired_fragments: number;
  eta_s: number | null;
}

export interface Source {
  name: string;
  url: string;
  state: string;
  error?: string | null;
}

/** A group of pictures: when its first was captured, when the next one begins, how many units it has. */
export interface Key {
  time: string;
  until: string;
  units: number;
}

/** The promise that streams play at a speed without a stall. */
export interface Playback {
  id: number;
  scale: number;
  rate_bps: number;
  expires_in_ms: number;
}

/** What is promised to playbacks, and how it is kept. Percents are of the disks' time, `promised_percent` of what is left of it beside the others. */
export interface Promises {
  guaranteed: boolean;
  /** Why it is, or is not: not yet while it is measuring, not at all if its configuration asks for none. */
  state: "guaranteed" | "measuring" | "disabled" | "failed";
  /** Why it failed. */
  reason: string | null;
  /** What is measured at present, the first time or anew. */
  measurement: { disk: string; done_percent: number } | null;
  /** How many wait for a promise. */
  waiting: number;
  promised_percent: number;
  recording_percent: number;
  /** Kept for playbacks by key pictures and backwards. */
  aside_percent: number;
  others_percent: number;
  /** How many times as long as their profiles say the disks take. */
  slowdown: number;
  fits_bps: number;
  admitted: number;
  refused: number;
  withdrawn: number;
  late_blocks: number;
  playbacks: Playing[];
}

/** One stream's playback. */
export interface Playing {
  id: number | null;
  stream: string;
  scale: number;
  reserved_bps: number;
  mean_bps: number;
  peak_bps: number;
  held_bytes: number;
  late_blocks: number;
}

/** All files as they were. */
export interface Snapshot {
  name: string;
  time: string;
}

/** What a directory may hold; null is no limit. */
export interface Limits {
  bytes: number | null;
  files: number | null;
}

export interface Quota extends Limits {
  path: string;
  used_bytes: number;
  used_files: number;
  counting: boolean;
}

/** Something that happened. */
export interface NodeEvent {
  subject: string;
  text: string;
}

/** What the node said when it refused, or why it can't be reached: then without a status. */
export class ApiError extends Error {
  constructor(message: string, readonly status?: number) {
    super(message);
  }
}

async function call<T>(method: string, path: string, body?: unknown, keepalive = false): Promise<T> {
  let answer: Response;
  try {
    answer = await fetch(path, {
      method,
      keepalive,
      headers: body === undefined ? {} : { "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new ApiError("The node can't be reached.");
  }
  if (!answer.ok) throw await refusal(answer);
  const text = await answer.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

/** What an answer that refuses says. */
export async function refusal(answer: Response): Promise<ApiError> {
  const text = await answer.text().catch(() => "");
  return new ApiError(sentence(text) ?? `The node answered ${answer.status}.`, answer.status);
}

function sentence(text: string): string | undefined {
  try {
    const value = JSON.parse(text) as { error?: string };
    return value.error;
  } catch {
    return undefined;
  }
}

/** `/cam/door` as it stands in a URL's path. */
export const inPath = (name: string) => name.split("/").map(encodeURIComponent).join("/");

const range = (from: Date, to: Date) =>
  new URLSearchParams({ from: from.toISOString(), to: to.toISOString() }).toString();

export const api = {
  status: () => call<Status>("GET", "/api/v1/status"),
  streams: () => call<Stream[]>("GET", "/api/v1/streams"),
  spans: (name: string, from: Date, to: Date, resolution_ms: number) =>
    call<Span[]>(
      "GET",
      `/api/v1/streams${inPath(name)}/recordings?${range(from, to)}&resolution_ms=${Math.round(resolution_ms)}`,
    ),
  allSpans: (name: string) => call<Span[]>("GET", `/api/v1/streams${inPath(name)}/recordings`),
  keys: (name: string, from: string, to: string, every_ms: number) =>
    call<{ keys: Key[]; next?: string | null }>(
      "GET",
      `/api/v1/streams${inPath(name)}/keys?${new URLSearchParams({ from, to })}${every_ms > 0 ? `&every_ms=${Math.round(every_ms)}` : ""}`,
    ),
  askPlayback: (streams: string[], from: string, scale: number) =>
    call<Playback>("POST", "/api/v1/playbacks", { streams, from, scale }),
  /** Renews a promise; with a scale for that speed. */
  keepPlayback: (id: number, scale?: number) =>
    call<Playback | undefined>("PATCH", `/api/v1/playbacks/${id}`, scale === undefined ? {} : { scale }),
  /** Outlives the page. */
  endPlayback: (id: number) => call<unknown>("DELETE", `/api/v1/playbacks/${id}`, undefined, true),
  promises: () => call<Promises>("GET", "/api/v1/playbacks"),
  events: () => call<NodeEvent[]>("GET", "/api/v1/events"),
  snapshots: () => call<Snapshot[]>("GET", "/api/v1/snapshots"),
  makeSnapshot: (name: string) => call<Snapshot>("POST", "/api/v1/snapshots", { name }),
  removeSnapshot: (name: string) => call<unknown>("DELETE", `/api/v1/snapshots?${new URLSearchParams({ name })}`),
  quotas: () => call<Quota[]>("GET", "/api/v1/quotas"),
  setQuota: (path: string, limits: Limits) => call<Quota>("PUT", "/api/v1/quotas", { path, ...limits }),
  removeQuota: (path: string) => call<unknown>("DELETE", `/api/v1/quotas?${new URLSearchParams({ path })}`),
  sources: () => call<Source[]>("GET", "/api/v1/sources"),
  addSource: (name: string, url: string) => call<unknown>("POST", "/api/v1/sources", { name, url }),
  removeSource: (name: string) => call<unknown>("DELETE", `/api/v1/sources${inPath(name)}`),
};

export const liveUrl = (name: string) =>
  `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/v1/streams${inPath(name)}/live`;
export const mjpegUrl = (name: string) => `/api/v1/streams${inPath(name)}/live.mjpeg`;
export const hlsUrl = (name: string, from: Date, to: Date) =>
  `/hls${inPath(name)}/index.m3u8?${range(from, to)}`;
export const exportUrl = (name: string, from: Date, to: Date) => exportPath(name, from.toISOString(), to.toISOString());
/** The same of times as the node wrote them, under a promise. */
export const exportPath = (name: string, from: string, to: string, playback?: number) =>
  `/api/v1/streams${inPath(name)}/media.mp4?${new URLSearchParams({ from, to, ...(playback === undefined ? {} : { playback: String(playback) }) })}`;

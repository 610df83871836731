// Recorded pictures: HLS through hls.js, across gaps, with the real time of each frame.

import Hls from "hls.js";
import { hlsUrl } from "./api";
import { h } from "./dom";
import type { Player } from "./live";

/** Plays `name` from a time up to another. `failed` gets a sentence if it can't. */
export class RecordedPlayer implements Player {
  readonly element: HTMLElement;
  readonly video: HTMLVideoElement;
  private readonly hls = new Hls({ maxBufferLength: 20, backBufferLength: 30, enableWorker: true, lowLatencyMode: false });

  constructor(name: string, private readonly from: number, to: number, failed: (why: string) => void) {
    this.video = h("video", { autoplay: true, playsInline: true, muted: true, "aria-label": `Recording of ${name}` });
    this.element = this.video;
    this.hls.on(Hls.Events.ERROR, (_, error) => {
      if (error.fatal) failed(`The recording can't be played: ${error.details}`);
    });
    this.hls.loadSource(hlsUrl(name, new Date(from), new Date(to)));
    this.hls.attachMedia(this.video);
    this.hls.once(Hls.Events.LEVEL_LOADED, (_, data) => this.start(data.details.fragments[0]?.programDateTime));
  }

  /** The list begins at the key unit before; the picture at the instant asked for. */
  private start(first: number | null | undefined) {
    if (first !== null && first !== undefined && this.from > first) {
      this.video.currentTime = (this.from - first) / 1000;
    }
  }

  frameTime() {
    return this.video.readyState < 2 ? undefined : this.hls.playingDate?.getTime();
  }

  close() {
    this.hls.destroy();
    this.element.removeAttribute("src");
  }
}

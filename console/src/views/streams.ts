// All streams, with live pictures of those in sight.

import { api, type Stream } from "../api";
import { h, poll, type View } from "../dom";
import { rate } from "../format";
import { playLive, type Player } from "../live";
import { ANGLES_MAX, groupHash } from "./group-address";

interface Card {
  element: HTMLElement;
  picture: HTMLElement;
  facts: HTMLElement;
  tick: HTMLInputElement;
  stream: Stream;
  player?: Player;
  seen: boolean;
}

export function streamsView(): View {
  const cards = new Map<string, Card>();
  const grid = h("div", { class: "grid" });
  const empty = h("p", { class: "empty", hidden: true }, "Nothing here yet. Publish a stream: ", h("code", {}, `ffmpeg -re -i film.mp4 -c copy -f rtsp rtsp://${location.hostname}:8554/cam/door`));
  const together = new Together(cards);
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const card = [...cards.values()].find((c) => c.element === entry.target);
      if (card) {
        card.seen = entry.isIntersecting;
        refresh(card);
      }
    }
  });

  const update = (streams: Stream[]) => {
    empty.hidden = streams.length > 0;
    for (const [name, card] of cards) {
      if (!streams.some((s) => s.name === name)) {
        card.player?.close();
        watcher.unobserve(card.element);
        card.element.remove();
        cards.delete(name);
        together.update();
      }
    }
    for (const stream of streams) {
      let card = cards.get(stream.name);
      if (!card) {
        card = make(stream, () => together.update());
        cards.set(stream.name, card);
        grid.append(card.element);
        watcher.observe(card.element);
      }
      card.stream = stream;
      refresh(card);
    }
  };

  const stop = poll(2000, async () => update(await api.streams()));
  return {
    element: h("section", {}, h("h1", {}, "Streams"), grid, empty, together.element),
    close: () => {
      stop();
      watcher.disconnect();
      for (const card of cards.values()) card.player?.close();
    },
  };
}

function make(stream: Stream, onchange: () => void): Card {
  const picture = h("div", { class: "picture" });
  const facts = h("div", { class: "facts" });
  const tick = h("input", { type: "checkbox", "aria-label": `Choose ${stream.name} to watch with others`, onchange });
  const link = h("a", { href: `#/stream${stream.name}` }, picture, h("h2", {}, stream.name));
  const element = h("div", { class: "card" }, link, facts, h("label", { class: "tick", title: "Watch with others" }, tick));
  return { element, picture, facts, tick, stream, seen: false };
}

/** The streams that are ticked, and the way to watch their recordings on one clock. */
class Together {
  private readonly words = h("span");
  private readonly go = h("a", { class: "button" }, "Watch together");
  readonly element = h("div", { class: "together", role: "status", hidden: true }, this.words, this.go,
    h("button", { type: "button", onclick: () => this.clear() }, "Clear"));

  constructor(private readonly cards: Map<string, Card>) {}

  update() {
    const chosen = [...this.cards.values()].filter((c) => c.tick.checked);
    this.element.hidden = chosen.length === 0;
    this.words.textContent = `${chosen.length} of at most ${ANGLES_MAX} angles`;
    this.go.href = groupHash(chosen.map((c) => c.stream.name));
    for (const card of this.cards.values()) {
      card.tick.disabled = !card.tick.checked && chosen.length >= ANGLES_MAX;
      card.element.classList.toggle("chosen", card.tick.checked);
    }
  }

  private clear() {
    for (const card of this.cards.values()) card.tick.checked = false;
    this.update();
  }
}

/** Plays what is live and in sight, and only that. */
function refresh(card: Card) {
  const { stream } = card;
  const wanted = card.seen && stream.state === "live" && stream.tracks.some((t) => t.kind === "video");
  if (wanted && !card.player) {
    card.player = playLive(stream, false);
    card.picture.replaceChildren(card.player.element);
  } else if (!wanted && card.player) {
    card.player.close();
    card.player = undefined;
    card.picture.replaceChildren();
  }
  if (!card.player) card.picture.textContent = stream.state === "live" ? "sound only" : "not live";
  card.facts.replaceChildren(...describe(stream));
}

/** State, codecs and rate of a stream as small badges. */
export function describe(stream: Stream): HTMLElement[] {
  const video = stream.tracks.find((t) => t.kind === "video");
  const badge = (text: string, kind = "") => h("span", { class: `badge ${kind}` }, text);
  return [
    badge(stream.state, stream.state),
    ...(stream.recording ? [badge("● rec", "rec")] : []),
    ...stream.tracks.map((t) => badge(t.codec)),
    ...(video?.width ? [badge(`${video.width}×${video.height}`)] : []),
    ...(stream.state === "live" ? [badge(rate(stream.bitrate_bps))] : []),
  ];
}

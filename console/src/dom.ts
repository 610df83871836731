// Elements from code, and nothing more.

type Child = Node | string | null | undefined | false;
type Props = Record<string, unknown>;

/** Makes an element: `on*` are listeners, known properties are set, the rest are attributes. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === false) continue;
    if (key.startsWith("on")) {
      element.addEventListener(key.slice(2), value as EventListener);
    } else if (key === "class") {
      element.className = String(value);
    } else if (key in element && !key.includes("-") && key !== "list") {
      (element as unknown as Props)[key] = value;
    } else {
      element.setAttribute(key, value === true ? "" : String(value));
    }
  }
  element.append(...children.filter((c): c is Node | string => c !== null && c !== undefined && c !== false));
  return element;
}

/** A page on screen: its element, and what to do when it leaves. */
export interface View {
  element: HTMLElement;
  close(): void;
}

/** Calls `work` now and then every `ms` while the page is visible, until stopped. */
export function poll(ms: number, work: () => Promise<void>): () => void {
  let stopped = false;
  let timer: number | undefined;
  const round = async () => {
    if (!document.hidden) await work().catch(() => undefined);
    if (!stopped) timer = window.setTimeout(round, ms);
  };
  void round();
  return () => {
    stopped = true;
    window.clearTimeout(timer);
  };
}

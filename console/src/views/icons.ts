// Small drawings for buttons, each one path on a square of 24.

const PATHS = {
  play: "M7 4v16l13-8z",
  pause: "M6 4h4.5v16H6zM13.5 4H18v16h-4.5z",
  forward: "M3 5v14l9-7zM12 5v14l9-7z",
  reverse: "M21 5v14l-9-7zM12 5v14l-9-7z",
  on: "M7 4h3v16H7zM13 5v14l8-7z",
  back: "M14 4h3v16h-3zM11 5v14l-8-7z",
} as const;

export type IconName = keyof typeof PATHS;

/** A drawing in the colour of the text. */
export function icon(name: IconName): SVGSVGElement {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

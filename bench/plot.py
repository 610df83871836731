"""Drawings of figures, as SVG, without a library: bars by peer, and lines."""

from html import escape

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 640, 320, 70, 40, 50
COLOURS = ("#1f6feb", "#8b949e", "#bf8700", "#2da44e", "#cf222e", "#8250df")


class Drawing:
    def __init__(self, title, width=WIDTH, height=HEIGHT):
        self.width, self.height = width, height
        self.parts = []
        self.text(width / 2, 20, title, anchor="middle", size=15)

    def text(self, x, y, text, anchor="start", size=12, colour="#24292f"):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
                          f'fill="{colour}">{escape(str(text))}</text>')

    def line(self, points, colour, dashed=False, width=2):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dash = ' stroke-dasharray="6 4"' if dashed else ""
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"{dash}/>')

    def dot(self, x, y, colour):
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')

    def bar(self, x, y, width, height, colour):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>')

    def save(self, path):
        path.write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'font-family="sans-serif"><rect width="100%" height="100%" fill="white"/>\n'
            + "\n".join(self.parts) + "\n</svg>\n", encoding="utf-8")


def bars(title, rows, path):
    """Rows of (name, value), as bars from the left, with the least and most of the rounds as a line."""
    drawing = Drawing(title, height=50 + 34 * len(rows))
    most = max(high for _, _, _, high in rows) or 1
    scale = (WIDTH - 260) / most
    for at, (name, value, low, high) in enumerate(rows):
        y = 40 + 34 * at
        drawing.text(140, y + 16, name, anchor="end")
        drawing.bar(150, y, value * scale, 22, COLOURS[0] if at == 0 else COLOURS[1])
        drawing.line([(150 + low * scale, y + 11), (150 + high * scale, y + 11)], "#24292f", width=1)
        drawing.text(158 + high * scale, y + 16, f"{value:,.0f}")
    drawing.save(path)


def lines(title, series, path, x_label, y_label, ticks=None):
    """Series of name to points (x, y); those whose name begins with `goal` are dashed. `ticks` are other names for x."""
    drawing = Drawing(title)
    every = [point for points in series.values() for point in points]
    x_least, x_most = min(x for x, _ in every), max(x for x, _ in every)
    y_most = max(y for _, y in every) * 1.05
    right, bottom = WIDTH - 150, HEIGHT - BOTTOM

    def place(x, y):
        return LEFT + (x - x_least) / (x_most - x_least or 1) * (right - LEFT), bottom - y / y_most * (bottom - TOP)

    drawing.line([(LEFT, TOP), (LEFT, bottom), (right, bottom)], "#24292f", width=1)
    for step in range(5):
        value = y_most * step / 4
        drawing.text(LEFT - 8, place(x_least, value)[1] + 4, f"{value:.3g}", anchor="end")
    for x in sorted({point[0] for name, points in series.items() if not name.startswith("goal") for point in points}):
        drawing.text(place(x, 0)[0], bottom + 18, ticks[x] if ticks else f"{x:g}", anchor="middle")
    drawing.text((LEFT + right) / 2, HEIGHT - 10, x_label, anchor="middle")
    drawing.text(LEFT - 50, TOP - 8, y_label)
    for at, (name, points) in enumerate(series.items()):
        goal = name.startswith("goal")
        colour = "#24292f" if goal else COLOURS[at % len(COLOURS)]
        drawn = [place(x, y) for x, y in points]
        drawing.line(drawn, colour, dashed=goal)
        if not goal:
            for x, y in drawn:
                drawing.dot(x, y, colour)
        drawing.line([(right + 15, TOP + 20 * at), (right + 40, TOP + 20 * at)], colour, dashed=goal)
        drawing.text(right + 46, TOP + 20 * at + 4, name)
    drawing.save(path)


def scale(figures, folder):
    """What depends on a store's size: a drawing for each."""
    ticks = [f"{row['terabytes']:g} TB" for row in figures]

    def by_size(of):
        return [(at, of(row)) for at, row in enumerate(figures)]

    def drawing(name, title, y_label, series):
        lines(title, series, folder / f"scale-{name}.svg", "recorded", y_label, ticks)

    drawing("memory", "Memory of an open store", "MB", {
        "open": by_size(lambda row: row["memory"]["store_bytes"] / 1e6),
        "a bit a slot": by_size(lambda row: row["slots"] / 8e6),
    })
    drawing("checkpoint", "A checkpoint with next to nothing changed", "MB, ms", {
        "MB written": by_size(lambda row: row["checkpoint"]["written_bytes"] / 1e6),
        "ms": by_size(lambda row: row["checkpoint"]["ms_p50"]),
    })
    drawing("mount", "Opening after a kill", "ms", {
        "with flash": by_size(lambda row: row["openings"]["flash_ms_max"]),
        "CPU, p50": by_size(lambda row: row["openings"]["cpu_ms_p50"]),
        "goal: under 1 s": by_size(lambda _: 1000),
    })
    drawing("allocation", "Allocating and freeing a segment, median", "us", {
        "half full": by_size(lambda row: row["allocation_half_full"]["us_p50"]),
        "nearly full": by_size(lambda row: row["allocation_nearly_full"]["us_p50"]),
        "freeing": by_size(lambda row: row["freeing"]["us_p50"]),
    })


def playback(figures, folder):
    """How many of the playbacks that are offered have no hiccup: for each kind of disk, alone and beside others."""
    for kind, of in figures.items():
        for how, title in (("alone", "alone"), ("beside", "beside eight readers of everything")):
            series = {
                name: [(load["offered"], load["without_hiccup"]) for load in loads[how]]
                for name, loads in of.items()
            }
            offered = [point[0] for point in series["node"]]
            if len(offered) > 1:
                series |= {"goal: all": [(count, count) for count in offered]}
                lines(f"Playbacks without a hiccup, {title}", series, folder / f"hiccups-{kind}-{how}.svg",
                      "offered", "without a hiccup")


def draw(results, folder):
    """Draws what there is among the results."""
    folder.mkdir(parents=True, exist_ok=True)
    for what, by_peer in results.get("mounts", {}).get("figures", {}).get("rounds", {}).items():
        rows = [(name, sorted(values)[len(values) // 2], min(values), max(values)) for name, values in by_peer.items()]
        if rows:
            file = "".join(letter if letter.isalnum() else "-" for letter in what.split(",")[0])
            bars(what, rows, folder / f"{file.strip('-')}.svg")
    if "amplify" in results:
        figures = results["amplify"]["figures"]
        series = {name: [(full * 100, cost) for full, cost, _ in points] for name, points in figures.items()}
        # The formula between the points, too: it is no straight line.
        goal = [(percent, 2 / (1 - percent / 100)) for percent in range(50, 91, 2)]
        lines("Bytes moved for each byte written over", series | {"goal: below 2/(1-u)": goal},
              folder / "write-amplification.svg", "per cent of the store in use", "bytes")
    if "cleaning" in results:
        figures = results["cleaning"]["figures"]
        for at, what in ((1, "MiB moved and read"), (2, "seconds")):
            series = {what: [(index, row[at]) for index, row in enumerate(figures)]}
            lines("Cleaning the same garbage in larger stores", series, folder / f"cleaning-{what.split()[0]}.svg",
                  "stored beside it", what, [f"{row[0]:g} GB" for row in figures])
    if "scale" in results:
        scale(results["scale"]["figures"], folder)
    if results.get("playback", {}).get("figures"):
        playback(results["playback"]["figures"], folder)
    if "killed" in results:
        series = {}
        for mib, count, median, _, _ in results["killed"]["figures"]:
            series.setdefault(f"{count} syncs", []).append((mib, median))
        lines("From SIGKILL to mounted files", series, folder / "mount-after-kill.svg", "MiB stored", "seconds")

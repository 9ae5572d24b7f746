"""Plot of the samples as SVG, which every browser shows: a small picture for each series."""

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, COLUMNS, MARGIN = 420, 130, 3, 34


def svg(
    series: Mapping[str, Sequence[tuple[float, float]]], events: Sequence[tuple[float, str]], notes: Mapping[str, str]
) -> str:
    """Draw the series, with a line for each event.

    Args:
        series: Name -> (seconds, value).
        events: (seconds, what was done).
        notes: Name -> what is written below the name.
    """
    last = max((at for samples in series.values() for at, _ in samples), default=1.0)
    rows = -(-len(series) // COLUMNS)
    size = f'width="{COLUMNS * WIDTH}" height="{rows * (HEIGHT + MARGIN)}"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">']
    for number, (name, samples) in enumerate(series.items()):
        left, top = number % COLUMNS * WIDTH, number // COLUMNS * (HEIGHT + MARGIN) + MARGIN
        highest = max((value for _, value in samples), default=1.0) * 1.05 or 1.0
        inner = WIDTH - 50

        def place(at: float, value: float, left: int = left, top: int = top, highest: float = highest) -> str:
            return f"{left + 40 + at / last * (WIDTH - 50):.1f},{top + HEIGHT * (1 - value / highest):.1f}"

        parts.append(f'<text x="{left + 40}" y="{top - 18}" font-weight="bold">{escape(name)}</text>')
        parts.append(f'<text x="{left + 40}" y="{top - 5}" fill="#666">{escape(notes.get(name, ""))}</text>')
        parts.append(f'<rect x="{left + 40}" y="{top}" width="{inner}" height="{HEIGHT}" fill="none" stroke="#bbb"/>')
        parts.append(f'<text x="{left + 2}" y="{top + 10}">{highest:.4g}</text>')
        for at, what in events:
            x = place(at, 0).partition(",")[0]
            line = f'<line x1="{x}" x2="{x}" y1="{top}" y2="{top + HEIGHT}" stroke="#e0c0c0">'
            parts.append(f"{line}<title>{escape(what)} at {at:.0f} s</title></line>")
        points = " ".join(place(at, value) for at, value in samples)
        parts.append(f'<polyline points="{points}" fill="none" stroke="#1f5f9f" stroke-width="1"/>')
    return "\n".join([*parts, "</svg>\n"])

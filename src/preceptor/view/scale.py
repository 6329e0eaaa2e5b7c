"""The colors of the pages: a diverging score scale and a palette for series.

Both are safe for color-blind readers (orange against blue, never red against green) and exist in a light
and a dark version as CSS variables, so charts and steps follow the reader's setting. Color never stands
alone: every colored thing also prints its number, and series differ in dash and marker.
"""

from __future__ import annotations

BINS = 11
"""Colors of the score scale, lowest first."""

_LIGHT = ((0xF2, 0x9E, 0x5C), (0xF6, 0xF3, 0xEC), (0x7F, 0xB6, 0xE6))
_DARK = ((0x9A, 0x4A, 0x12), (0x33, 0x33, 0x38), (0x1C, 0x5C, 0x99))

SERIES_LIGHT = ("#0072b2", "#c44e00", "#007f5f", "#a5478b", "#806600", "#4a4a4a")
SERIES_DARK = ("#5ab4f0", "#ff9a57", "#3ccfa4", "#e58ccb", "#e0be3c", "#c8c8c8")

INK = {"ink": "#010a01", "muted": "#010a02", "grid": "#010a03", "paper": "#010a04"}
"""Stand-ins used while drawing; the finished SVG has `var(--NAME)` in their place."""
SERIES = tuple(f"#010b0{i}" for i in range(len(SERIES_LIGHT)))
DASHES = ("", "6 2.5", "2 2", "7 2 2 2", "4 1.5", "9 3 2 3 2 3")
"""SVG dash patterns; the legend and the chart use the same ones."""
MARKERS = ("o", "s", "^", "D", "v")


def score_bin(score: float, low: float = 0.0, high: float = 1.0) -> int:
    """Which color of the scale a score gets; scores outside `[low, high]` get the end colors."""
    share = (min(max(score, low), high) - low) / (high - low)
    return round(share * (BINS - 1))


def css_variables(*, dark: bool) -> str:
    """`--s0` .. `--s10` (scores, low to high) and `--c0` .. (series)."""
    low, middle, high = _DARK if dark else _LIGHT
    lines = []
    for i in range(BINS):
        share = 2 * i / (BINS - 1)
        a, b, at = (low, middle, share) if share <= 1 else (middle, high, share - 1)
        mixed = (round(x + (y - x) * at) for x, y in zip(a, b, strict=True))
        lines.append(f"--s{i}:#{''.join(f'{v:02x}' for v in mixed)}")
    series = SERIES_DARK if dark else SERIES_LIGHT
    lines += [f"--c{i}:{color}" for i, color in enumerate(series)]
    return ";".join(lines)


def css_of_stand_ins() -> dict[str, str]:
    """Stand-in color -> CSS expression."""
    return {hex_: f"var(--{name})" for name, hex_ in INK.items()} | {
        hex_: f"var(--c{i})" for i, hex_ in enumerate(SERIES)
    }

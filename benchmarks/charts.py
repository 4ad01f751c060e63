"""Bar charts as SVG, to stand in a page: they take its text's colour, by day and by night."""

import html
from collections.abc import Mapping

_WIDTH, _LABELS, _VALUES = 720, 210, 80
_ROW, _BAR, _TOP = 30, 20, 34
_OURS, _OTHERS = "#5c6bc0", "#9e9e9e"


def bars(title: str, values: Mapping[str, float], ours: str) -> str:
    """One bar for each value; those whose name begins with `ours` stand out. One line, as Markdown wants it."""
    longest = max(values.values(), default=1)
    height = _TOP + _ROW * len(values)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{html.escape(title)}" fill="currentColor"'
        f' font-size="14" style="max-width: {_WIDTH}px; width: 100%">',
        f'<text x="0" y="16" font-weight="bold">{html.escape(title)}</text>',
    ]
    for number, (name, value) in enumerate(values.items()):
        top = _TOP + _ROW * number
        length = (_WIDTH - _LABELS - _VALUES) * max(value, 0) / longest
        fill = _OURS if name.startswith(ours) else _OTHERS
        parts += [
            f'<text x="{_LABELS - 10}" y="{top + 15}" text-anchor="end">{html.escape(name)}</text>',
            f'<rect x="{_LABELS}" y="{top}" width="{length:.1f}" height="{_BAR}" rx="2" fill="{fill}"/>',
            f'<text x="{_LABELS + length + 8:.1f}" y="{top + 15}">{value:,.0f}</text>',
        ]
    return "".join([*parts, "</svg>"])

"""A plot of horizontal bars on a logarithmic scale, written as SVG."""

import html
import math

ROW, TOP, LEFT, WIDTH, RIGHT = 20, 60, 170, 560, 90
LOW, HIGH = 0.5, 64


def place(value):
    value = min(max(value, LOW), HIGH)
    return LEFT + WIDTH * math.log2(value / LOW) / math.log2(HIGH / LOW)


def text(x, y, what, anchor="start", extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {extra}>{html.escape(what)}</text>'


def line(x, y1, y2, colour, width=1, extra=""):
    return (f'<line x1="{x:.1f}" y1="{y1}" x2="{x:.1f}" y2="{y2}" stroke="{colour}" '
            f'stroke-width="{width}" {extra}/>')


def bar(y, name, ratio, goal, floor):
    start, end = sorted((place(1), place(ratio)))
    is_good = ratio >= (goal or 1)
    yield text(LEFT - 8, y + 14, name, "end")
    yield (f'<rect x="{start:.1f}" y="{y + 3}" width="{max(end - start, 1):.1f}" height="{ROW - 6}" '
           f'fill="{"#3a7d44" if is_good else "#c44536"}"/>')
    if floor:
        yield line(place(floor), y + 1, y + ROW - 1, "#555", 2)
    if goal:
        yield (f'<circle cx="{place(goal):.1f}" cy="{y + ROW / 2}" r="4" fill="white" '
               f'stroke="#1d3557" stroke-width="2"/>')
    yield text(LEFT + WIDTH + RIGHT - 6, y + 14, f"{ratio:.2f}", "end")


def bars(title, rows):
    """rows: (name, ratio, goal or None, floor or None); the axis is at 1."""
    height = TOP + ROW * len(rows) + 30
    bottom = TOP + ROW * len(rows)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + RIGHT}" '
             f'height="{height}" font-family="sans-serif" font-size="12">',
             '<rect width="100%" height="100%" fill="white"/>',
             text(10, 20, title, extra='font-size="15" font-weight="bold"'),
             text(10, 38, "bar: keepd (red: below the goal, or below 1); circle: goal; "
                          "grey line: the canned responder, the floor", extra='fill="#555"')]
    tick = LOW
    while tick <= HIGH:
        parts.append(line(place(tick), TOP - 4, bottom, "#ddd" if tick != 1 else "#000"))
        parts.append(text(place(tick), bottom + 16, f"{tick:g}", "middle", 'fill="#555"'))
        tick *= 2
    for i, row in enumerate(rows):
        parts += bar(TOP + ROW * i, *row)
    return "\n".join(parts) + "\n</svg>\n"

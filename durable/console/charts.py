"""The console's pictures, as SVG: no script makes them, and no style is inline."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

if TYPE_CHECKING:
    from .tree import Node

WIDTH, HEIGHT, BAR = 240, 36, 4


def hour(
    ends: Sequence[int], failures: Sequence[int], marks: Sequence[int] = (), label: str = ""
) -> SafeString:
    """Return the ends of each of 60 parts of a time, failures in red, and where a version came."""
    top = max([*ends, 1])
    bars = []
    for number, (count, failed) in enumerate(zip(ends, failures, strict=True)):
        if not count:
            continue
        height = max(1.5, HEIGHT * count / top)
        red = max(1.5, HEIGHT * failed / top) if failed else 0.0
        x = number * BAR
        bars.append((x, f"{HEIGHT - height:.1f}", f"{height:.1f}", "bar"))
        if failed:
            bars.append((x, f"{HEIGHT - red:.1f}", f"{red:.1f}", "bar bad"))
    return format_html(
        '<svg class="spark" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" '
        'aria-label="{}"><line class="axis" x1="0" y1="{}" x2="{}" y2="{}"/>{}{}</svg>',
        WIDTH, HEIGHT, label, HEIGHT, WIDTH, HEIGHT,
        format_html_join("", '<line class="mark" x1="{}" y1="0" x2="{}" y2="36"/>',
                         ((place * BAR + 1.5, place * BAR + 1.5) for place in marks)),
        format_html_join("", '<rect x="{}" y="{}" width="3" height="{}" class="{}"/>', bars),
    )  # fmt: skip


def track(parts: Sequence[tuple[float, str]], label: str) -> SafeString:
    """Return a bar of parts, each with its share and its class: how a task spent its time."""
    total = sum(share for share, _ in parts) or 1.0
    x, found = 0.0, []
    for share, kind in parts:
        width = max(4.0, 1000 * share / total) if share else 0.0
        found.append((f"{x:.1f}", f"{width:.1f}", kind))
        x += width
    return format_html(
        '<svg class="track" viewBox="0 0 {} 12" preserveAspectRatio="none" role="img" '
        'aria-label="{}">{}</svg>',
        f"{max(x, 1.0):.0f}", label,
        format_html_join("", '<rect x="{}" y="0" width="{}" height="12" class="{}"/>', found),
    )  # fmt: skip


#: Of the drawing of a tree, in pixels: a box, and what is between two.
BOX_WIDTH, BOX_HEIGHT, ACROSS, BELOW = 176, 44, 44, 12


def tree(nodes: Sequence[Node], here: str) -> SafeString:
    """Draw tasks from left to right, each a link to its page, with its state as a word.

    :param nodes: each after its parents.
    :param here: Celery's id of the task whose page this is.
    """
    columns: dict[int, int] = defaultdict(int)
    column_of: dict[str, int] = {}
    places: dict[str, tuple[int, int]] = {}
    for node in nodes:
        column = 1 + max((column_of[one] for one in node.parents), default=-1)
        column_of[node.task_id] = column
        row = columns[column]
        columns[column] += 1
        places[node.task_id] = (
            1 + column * (BOX_WIDTH + ACROSS), 1 + row * (BOX_HEIGHT + BELOW)
        )  # fmt: skip
    edges = [
        _edge(places[parent], places[node.task_id])
        for node in nodes for parent in sorted(node.parents)
    ]  # fmt: skip
    boxes = [_box(node, places[node.task_id], node.task_id == here) for node in nodes]
    width = 2 + len(columns) * (BOX_WIDTH + ACROSS) - ACROSS
    height = 2 + max(columns.values()) * (BOX_HEIGHT + BELOW) - BELOW
    return format_html(
        '<svg class="tree" width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="group" '
        'aria-label="Tasks that belong together">{2}{3}</svg>',
        width, height, format_html_join("", '<path class="edge" d="{}"/>', ((d,) for d in edges)),
        format_html_join("", "{}", ((box,) for box in boxes)),
    )  # fmt: skip


def _edge(begin: tuple[int, int], end: tuple[int, int]) -> str:
    x, y = begin[0] + BOX_WIDTH, begin[1] + BOX_HEIGHT // 2
    to_x, to_y = end[0], end[1] + BOX_HEIGHT // 2
    middle = to_x - ACROSS // 2
    return f"M{x} {y}H{middle - 8}C{middle} {y} {middle - 8} {to_y} {middle} {to_y}H{to_x}"


def _box(node: Node, place: tuple[int, int], here: bool) -> SafeString:
    x, y = place
    name = node.task.rpartition(".")[2]
    short = name if len(name) <= 21 else f"{name[:20]}…"
    short = f"{node.times} more" if node.times > 1 else short
    label = f"{node.task}: {node.state}" + (f", {node.times} of them" if node.times > 1 else "")
    box = format_html(
        '<g class="node {}{}"><title>{}</title><rect x="{}" y="{}" width="{}" height="{}" rx="9"/>'
        '<text x="{}" y="{}">{}</text><text class="state" x="{}" y="{}">{}</text></g>',
        node.state.partition(" ")[0], " here" if here else "", label, x, y, BOX_WIDTH, BOX_HEIGHT,
        x + 11, y + 18, short, x + 11, y + 35, node.state,
    )  # fmt: skip
    if node.id is None or here:
        return box
    to = reverse("console:task", args=[node.id])
    return format_html('<a href="{}">{}</a>', to, box)


def outcomes(kinds: Sequence[str], label: str) -> SafeString:
    """Draw the last runs of a periodic task, the newest on the right: all but ``done`` are tall."""
    bars = [
        (number * 5, 4 if kind == "done" else 0, 12 if kind == "done" else 16, kind)
        for number, kind in enumerate(reversed(kinds))
    ]
    return format_html(
        '<svg class="runs" width="{0}" height="16" viewBox="0 0 {0} 16" role="img" '
        'aria-label="{1}">{2}</svg>',
        max(5 * len(bars), 5), label,
        format_html_join(
            "", '<rect x="{}" y="{}" width="4" height="{}" rx="1" class="{}"/>', bars
        ),
    )  # fmt: skip

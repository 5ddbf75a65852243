"""The console's pictures, as SVG: no script makes them, and no style is inline."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

WIDTH, HEIGHT, BAR = 240, 36, 4


def hour(
    ends: Sequence[int], failures: Sequence[int], marks: Sequence[int] = (), label: str = ""
) -> SafeString:
    """Return the last hour of a queue: ends of each minute, failures among them in red."""
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

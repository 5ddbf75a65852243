"""Facts that only the outside of the containers shows: deploy/doctor gives it, as JSON.

``{"containers": [{"role": "web", "image": "sha256:…", "state": "running", "health": "healthy"}],
"wanted": ["web", "prometheus"], "disks": [{"name": "/var/lib/docker", "used": 0.5}]}``
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .line import Level, Line, graded

#: Shares of a disk.
DISK = (0.85, 0.95)
#: What runs the project's own image.
ROLES = ("web", "worker", "beat")
_DO = "look at its log (`make logs`, `kubectl logs`), then `make up` or `kubectl apply`"


def lines(found: dict[str, Any]) -> Iterator[Line]:
    """Yield a line for each role that is not healthy, for the images, and for the disks."""
    containers = found.get("containers", [])
    if "containers" in found:
        yield from _containers(containers, {*ROLES, *found.get("wanted", [])})
        yield _images(containers)
    for each in found.get("disks", []):
        level = graded(each["used"], *DISK)
        yield Line("machine", "disk", level, f"{each['name']}: {each['used']:.0%} in use",
                   "make room: `docker system df`, old backups, logs")  # fmt: skip


def _containers(containers: list[dict[str, str]], wanted: set[str]) -> Iterator[Line]:
    for role in sorted(wanted | {each["role"] for each in containers}):
        mine = [each for each in containers if each["role"] == role]
        well = [each for each in mine if each["state"] == "running"
                and each.get("health") in ("healthy", "", None)]  # fmt: skip
        level = Level.OK if mine and len(well) == len(mine) else Level.FAIL
        if level and well:
            level = Level.WARN
        states = {f"{each['state']} {each.get('health') or ''}".strip() for each in mine}
        says = f"{len(well)} of {len(mine)} well" if mine else "none runs"
        says += f" ({', '.join(sorted(states))})" if level and mine else ""
        yield Line("containers", role, level, says, _DO)


def _images(containers: list[dict[str, str]]) -> Line:
    images: dict[str, set[str]] = {}
    for each in containers:
        base = each["role"].partition("-")[0]
        if base in ROLES and each["state"] == "running":
            image = re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52}$", r"\1", each["image"])
            images.setdefault(image, set()).add(each["role"])
    if len(images) <= 1:
        return Line("containers", "image", Level.OK, f"{next(iter(images), 'none')} in all roles")
    said = "; ".join(f"{', '.join(sorted(roles))}: {image}" for image, roles in images.items())
    return Line("containers", "image", Level.WARN, said,
                "a roll-out has not come to its end: wait for it, or `make up` again")  # fmt: skip

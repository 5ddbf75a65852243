"""The last backup that was proven by a restore."""

from __future__ import annotations

import math
from collections.abc import Iterator

from durable.backups import metrics
from durable.backups.models import Backup

from ..line import Level, Line, graded

#: Seconds: as the alert has it, and a week.
OLD = (metrics.OLD, 604_800)


def lines() -> Iterator[Line]:
    """Yield its age; where no backup is made at all, that is the line."""
    do = "`make backup`, then `make restore-drill`; each night: docs/backups.md"
    age = metrics.proven_age()
    if age is None:
        yield Line("backup", "", Level.WARN, "none is made here", do)
        return
    says = "none is proven" if math.isinf(age) else f"the last that is proven: {age / 3600:.0f} h"
    failed = Backup.objects.exclude(failed_at=None).order_by("-failed_at").first()
    newest = Backup.objects.order_by("-started_at").first()
    if failed and newest and failed.pk == newest.pk:
        first = (failed.error.splitlines() or [""])[0]
        says += f"; the newest failed: {first}"
    yield Line("backup", "", graded(age, *OLD), says, do)

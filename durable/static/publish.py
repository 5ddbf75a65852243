"""Puts a version's static files into the database, before any web of that version serves.

While two versions run side by side, a page of one asks the other for its files; and a page that
was loaded before a roll-out asks for its files after it. Each web has those of its own version in
its image, and finds the others here.
"""

from __future__ import annotations

from datetime import timedelta

from django.contrib.staticfiles.storage import staticfiles_storage
from django.db import transaction
from django.utils import timezone

from .models import File

#: A file goes so long after the last version that had it was replaced.
KEPT = timedelta(days=30)


def publish() -> int:
    """Store what this version has and the database has not; return how many files that are.

    Without hashed names, as in development, there is nothing that two versions could mix up.
    """
    names = set(getattr(staticfiles_storage, "hashed_files", {}).values())
    if not names:
        return 0
    now = timezone.now()
    with transaction.atomic():
        File.objects.filter(replaced_at=None).exclude(name__in=names).update(replaced_at=now)
        File.objects.filter(name__in=names).update(replaced_at=None)
        File.objects.filter(replaced_at__lt=now - KEPT).delete()
        new = names.difference(File.objects.values_list("name", flat=True))
        for name in new:
            with staticfiles_storage.open(name) as file:
                File.objects.create(name=name, content=file.read())
    return len(new)

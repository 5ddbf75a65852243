"""The archive of WAL to and from the storage: ``archive/SYSTEM/`` in BACKUP_DIR, and there alike.

deploy/backup/archive.sh writes it: base backups in ``base``, WAL in ``wal``. SYSTEM is PostgreSQL's
own number of a server's data, so that the WAL of a new one is not taken for that of the old.
"""

from __future__ import annotations

import re
from pathlib import Path

import obstore

from .encryption import SUFFIX, decrypt
from .store import Storage, StoreError

BASE = re.compile(r"archive/(\d+)/base/(\d{8}T\d{6}Z)/start")
WAL = re.compile(r"archive/(\d+)/wal/([0-9A-F]{24})\.gz")
#: What the storage has, a name a line, beside the file that it is asked by.
SENT = Path(".store", "sent")


def first_segment(start: str) -> str:
    """Return the place of a segment without its timeline, which a promotion changes."""
    return start.strip()[8:24]


def here(folder: Path) -> list[str]:
    """Return what is whole in the archive; ``start`` comes last of a base backup."""
    found = [
        *folder.glob("archive/*/base/2*Z/*"),
        *folder.glob("archive/*/wal/*.gz"),
        *folder.glob("archive/*/wal/*.history"),
    ]
    found.sort(key=lambda path: (path.name == "start", path))
    return [str(path.relative_to(folder)) for path in found]


def there(storage: Storage) -> set[str]:
    """Return what the storage has of archives, without the ending of what is encrypted."""
    return {
        meta["path"].removesuffix(SUFFIX)
        for batch in obstore.list(storage.store, prefix="archive")
        for meta in batch
    }


def send(storage: Storage) -> int:
    """Store what is new in the archive, and delete there what no base backup here leads to.

    :return: how many files are new.
    """
    sent = storage.folder / SENT
    known = set(sent.read_text(encoding="utf-8").splitlines()) if sent.exists() else set()
    names = [name for name in here(storage.folder) if name not in known]
    for name in names:
        storage.send(storage.folder / name, name)
        with sent.open("a", encoding="utf-8") as file:
            file.write(f"{name}\n")
    if any(BASE.fullmatch(name) for name in names):
        trim(storage)
    return len(names)


def trim(storage: Storage) -> None:
    """Delete from the storage what is older than the oldest base backup here of the same server."""
    oldest: dict[str, tuple[str, str]] = {}
    for name in here(storage.folder):
        if match := BASE.fullmatch(name):
            start = first_segment((storage.folder / name).read_text(encoding="utf-8"))
            oldest[match[1]] = min(oldest.get(match[1], (match[2], start)), (match[2], start))
    for name in there(storage):
        match = WAL.fullmatch(name) or re.fullmatch(r"archive/(\d+)/base/(\w+)/.*", name)
        if not match or match[1] not in oldest:
            continue
        base, start = oldest[match[1]]
        old = first_segment(match[2]) < start if "/wal/" in name else match[2] < base
        if old:
            for path in (name, name + SUFFIX):
                obstore.delete(storage.store, path)


def fetch(storage: Storage, wanted: str) -> None:
    """Bring the base backup before *wanted*, a time as in its name, and the WAL after it.

    :raises StoreError: there is none that old.
    """
    names = there(storage)
    bases = sorted(
        (match[2], match[1]) for match in map(BASE.fullmatch, names) if match and match[2] <= wanted
    )
    if not bases:
        raise StoreError("the storage has no base backup that old")
    base, system = bases[-1]
    folder = f"archive/{system}/base/{base}/"
    for name in sorted(name for name in names if name.startswith(folder)):
        receive(storage, name)
    start = first_segment((storage.folder / folder / "start").read_text(encoding="utf-8"))
    for name in sorted(names):
        match = WAL.fullmatch(name)
        wal = match and match[1] == system and first_segment(match[2]) >= start
        if wal or (name.startswith(f"archive/{system}/wal/") and name.endswith(".history")):
            receive(storage, name)


def receive(storage: Storage, name: str) -> None:
    """Bring one file, unless it is here."""
    path = storage.folder / name
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with storage.drafts() as drafts:
        draft, sealed = Path(drafts, "plain"), Path(drafts, "sealed")
        if storage.has(name + SUFFIX):
            storage.receive(name + SUFFIX, sealed)
            decrypt(sealed, draft, storage.identities)
        else:
            storage.receive(name, draft)
        draft.replace(path)

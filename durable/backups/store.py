"""Dumps to and from an object storage: S3 and what speaks like it, Google Cloud Storage, Azure.

    python -m durable.backups.store upload     from BACKUP_DIR
    python -m durable.backups.store download   the dump FROM, or the newest, in place of what is
                                               there

It runs in the image of the app, and the script that dumps and restores in PostgreSQL's
(k8s/components/backup-s3). It needs no Django. Settings:

    BACKUP_STORE_URL        s3://BUCKET/FOLDER, gs://..., az://...
    AWS_ENDPOINT_URL        for what isn't AWS; AWS_REGION, AWS_ACCESS_KEY_ID and so on, as AWS' own
                            programs read them, each also as a file by NAME_FILE
    BACKUP_DO               what the pod is for: nothing is uploaded for a drill, and so on
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url

#: A dump, and the files that belong to it. It comes last: what is there is whole.
PARTS = (".rows", ".sha256", "")
DUMP = re.compile(r"[A-Za-z0-9_]+-(\d{8}T\d{6}Z)\.dump")
DUMPS = {"dump", "nightly"}  # the values of BACKUP_DO that make a dump


class StoreError(Exception):
    """It can't be done, and the text says what to change."""


def credentials(env: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of the storage that stand in files, by their names in lower case.

    The library reads the others from the environment itself.

    :raises StoreError: a file can't be read.
    """
    found = {}
    for name, path in env.items():
        match = re.fullmatch(r"((?:AWS|GOOGLE|AZURE)_\w+)_FILE", name)
        if match and match[1] != "AWS_WEB_IDENTITY_TOKEN" and path:
            try:
                found[match[1].lower()] = Path(path).read_text(encoding="utf-8").strip()
            except FileNotFoundError:
                continue  # the cloud's own identity of the pod is used, where it has one
            except OSError as error:
                raise StoreError(f"{name}={path}: can't be read ({error.strerror})") from error
    return found


def connect(env: Mapping[str, str]) -> ObjectStore:
    """Return the storage that BACKUP_STORE_URL names.

    :raises StoreError: it is not set, or nothing that the library knows.
    """
    url = env.get("BACKUP_STORE_URL", "")
    if "://" not in url:
        raise StoreError(
            f"BACKUP_STORE_URL={url!r}: expected where the dumps are, as in s3://BUCKET/FOLDER"
        )
    plain = env.get("AWS_ENDPOINT_URL", "").startswith("http://")
    config = {name: env[name.upper()] for name in ("aws_endpoint_url", "aws_region")
              if env.get(name.upper())}  # fmt: skip
    # Each kind of storage has a type of its own for them.
    options: Any = {
        "config": {**config, **credentials(env)},
        "client_options": {"allow_http": plain, "timeout": "30 minutes"},
        "retry_config": {"max_retries": 5},
    }
    try:
        store: ObjectStore = from_url(url, **options)
        return store
    except (BaseError, ValueError) as error:
        raise StoreError(f"BACKUP_STORE_URL={url}: {error}") from error


def upload(store: ObjectStore, folder: Path) -> list[str]:
    """Send every dump in *folder*; return their names. Large files go in parts."""
    names = sorted(path.name for path in folder.iterdir() if DUMP.fullmatch(path.name))
    for name in names:
        for part in PARTS:
            obstore.put(store, name + part, folder / (name + part))
    return names


def names(store: ObjectStore) -> dict[str, int]:
    """Return the dumps in the storage with their sizes in bytes, the newest first."""
    found = {
        meta["path"]: int(meta["size"])
        for batch in obstore.list(store)
        for meta in batch
        if DUMP.fullmatch(meta["path"])
    }
    return dict(sorted(found.items(), key=lambda item: item[0].rpartition("-")[2], reverse=True))


def download(store: ObjectStore, folder: Path, wanted: str) -> str:
    """Put the dump *wanted*, or the newest, in place of those in *folder*; return its name.

    :raises StoreError: there is none, or not that one.
    """
    there = names(store)
    name = wanted or next(iter(there), "")
    if name not in there:
        listed = "\n".join(f"{name}\t{size} bytes" for name, size in there.items())
        raise StoreError(
            f"FROM={wanted}: there is no such dump; there are:\n{listed}"
            if there
            else "there is no dump in BACKUP_STORE_URL yet: make backup"
        )
    # What is proven is what the storage holds.
    for path in folder.iterdir():
        if DUMP.match(path.name):
            path.unlink()
    for part in PARTS:
        with (folder / (name + part)).open("wb") as file:
            for chunk in obstore.get(store, name + part).stream(min_chunk_size=1024 * 1024):
                file.write(chunk)
    return name


def main(arguments: list[str], env: Mapping[str, str]) -> str | int:
    """Run the command; the result is an error to show, or 0."""
    what, do = " ".join(arguments), env.get("BACKUP_DO") or "nightly"
    if what not in {"upload", "download"}:
        return "usage: python -m durable.backups.store upload | download"
    folder = Path(env.get("BACKUP_DIR", "/backups"))
    try:
        store = connect(env)
        if what == "upload":
            for name in upload(store, folder) if do in DUMPS else []:
                print(f"backup: {name}: uploaded to {env['BACKUP_STORE_URL']}")
        elif do == "list":
            for name, size in names(store).items():
                print(f"{name}\t{size} bytes")
        elif do not in {"dump", "settle"}:
            print(f"backup: {download(store, folder, env.get('FROM', ''))}: downloaded")
    except StoreError as error:
        return f"backup: {error}"
    except (BaseError, OSError) as error:
        return (
            f"backup: {what} failed: {str(error).splitlines()[0]}\n"
            "backup: BACKUP_STORE_URL, AWS_ENDPOINT_URL, AWS_REGION and the Secret backup-s3 say "
            "where the storage is and who asks"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))

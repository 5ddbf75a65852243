"""Dumps to and from an object storage: S3 and what speaks like it, Google Cloud Storage, Azure.

    python -m durable.backups.store put NAME             from BACKUP_DIR, encrypted
    python -m durable.backups.store fetch NAME FOLDER    into FOLDER, decrypted; without the key it
                                                         is compared with what was put there
    python -m durable.backups.store fetch-archive TIME   what leads to that second (archive.py)
    python -m durable.backups.store prove NAME           the mark that it was restored
    python -m durable.backups.store names                which are there, the newest first
    python -m durable.backups.store forget NAME

deploy/backup/store.sh calls these; from another container it asks serve.py for them. In a
pod, whose containers run one after the other (k8s/components/backup-s3):

    python -m durable.backups.store upload     what is in BACKUP_DIR
    python -m durable.backups.store download   the dump FROM, or the newest, in place of what is
                                               there

It runs in the image of the app, and the script that dumps and restores in PostgreSQL's. It needs no
Django. Settings, beside the keys (encryption.py):

    BACKUP_STORE_URL        s3://BUCKET/FOLDER, gs://..., az://...
    AWS_ENDPOINT_URL        for what isn't AWS; AWS_REGION, AWS_ACCESS_KEY_ID and so on, as AWS' own
                            programs read them, each also as a file by NAME_FILE
    BACKUP_DO               what the pod is for: nothing is uploaded for a drill, and so on
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url

from .encryption import SUFFIX, KeysError, decrypt, encrypt, identities, recipients

#: A dump, and the files that belong to it. It comes last: what is there is whole.
PARTS = (".rows", ".sha256", "")
DUMP = re.compile(r"[A-Za-z0-9_]+-(\d{8}T\d{6}Z)\.dump")
STORED = re.compile(rf"({DUMP.pattern})(?:{re.escape(SUFFIX)})?")
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
                text = Path(path).read_text(encoding="utf-8").strip()
            except FileNotFoundError:
                continue  # the cloud's own identity of the pod is used, where it has one
            except OSError as error:
                raise StoreError(f"{name}={path}: can't be read ({error.strerror})") from error
            if text:
                found[match[1].lower()] = text
    return found


def connect(env: Mapping[str, str]) -> ObjectStore:
    """Return the storage that BACKUP_STORE_URL names.

    :raises StoreError: it is not set, or nothing that the library knows.
    """
    url = env.get("BACKUP_STORE_URL", "")
    # Azure's container stands before an @; what has a colon in it is a login.
    login = re.match(r"(\w+://)?(.*):.*@", url)
    if "://" not in url or (login and login[2]):
        shown = f"{login[1] or ''}…" if login else url
        raise StoreError(
            f"BACKUP_STORE_URL={shown!r}: expected where the dumps are, as in s3://BUCKET/FOLDER, "
            "without a login; keys are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
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


class Storage:
    """The dumps in a storage, with the keys that they are encrypted to and opened by.

    :raises StoreError: the storage can't be named.
    :raises KeysError: a key is none.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self.store = connect(env)
        self.recipients = recipients(env)
        self.identities = identities(env)
        self.folder = Path(env.get("BACKUP_DIR", "/backups"))

    def drafts(self) -> tempfile.TemporaryDirectory[str]:
        """Return a folder for what is not whole yet; serve.py deletes those of a killed run."""
        folder = self.folder / ".store"
        folder.mkdir(exist_ok=True)
        return tempfile.TemporaryDirectory(prefix="draft-", dir=folder)

    def send(self, path: Path, name: str) -> str:
        """Store a file under *name*, encrypted if there are recipients; return its sum and name."""
        with self.drafts() as drafts:
            if self.recipients:
                name += SUFFIX
                encrypt(path, Path(drafts) / "sealed", self.recipients)
                path = Path(drafts) / "sealed"
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            obstore.put(self.store, name, path)  # large files go in parts
        return f"{digest}  {name}\n"

    def receive(self, name: str, path: Path) -> None:
        """Write what is stored under *name* to *path*, as it is there."""
        with path.open("wb") as file:
            for chunk in obstore.get(self.store, name).stream(min_chunk_size=1024 * 1024):
                file.write(chunk)

    def has(self, name: str) -> bool:
        """Say yes if something is stored under *name*."""
        try:
            obstore.head(self.store, name)
        except FileNotFoundError:
            return False
        return True

    def put(self, name: str) -> None:
        """Store the dump *name* of BACKUP_DIR; beside it stays what the storage was given."""
        sums = "".join(self.send(self.folder / (name + part), name + part) for part in PARTS)
        (self.folder / f"{name}.stored").write_text(sums, encoding="utf-8")

    def beside(self) -> Any:
        """Return what is stored, without the folders, which are the archive's."""
        return obstore.list_with_delimiter(self.store)["objects"]

    def names(self) -> dict[str, int]:
        """Return the dumps with their sizes in bytes, the newest first."""
        found = {
            match[1]: int(meta["size"])
            for meta in self.beside()
            if (match := STORED.fullmatch(meta["path"]))
        }
        return dict(
            sorted(found.items(), key=lambda item: item[0].rpartition("-")[2], reverse=True)
        )

    def listed(self) -> str:
        """Return a line for each dump: name, size, and whether it was proven."""
        marks = {meta["path"] for meta in self.beside() if meta["path"].endswith(".proven")}
        lines = []
        for name, size in self.names().items():
            proof = "not proven"
            if f"{name}.proven" in marks:
                text = bytes(obstore.get(self.store, f"{name}.proven").bytes()).decode()
                proof = f"proven {text.strip()}"
            lines.append(f"{name}\t{size} bytes\t{proof}\n")
        return "".join(lines)

    def prove(self, name: str) -> None:
        """Store the mark of the dump *name*."""
        obstore.put(self.store, f"{name}.proven", self.folder / f"{name}.proven")

    def forget(self, name: str) -> None:
        """Delete the dump *name*, its mark first: what is left without it counts as nothing."""
        for part in (".proven", "", ".rows", ".sha256"):
            for path in (name + part, name + part + SUFFIX):
                obstore.delete(self.store, path)

    def fetch(self, name: str, folder: Path) -> bool:
        """Put the dump *name* into *folder*, whole or not at all.

        :return: ``False`` if it can't be opened here: then the storage was compared with what was
            put there, and nothing is in *folder*.
        :raises StoreError: there is no such dump, or another than was put there.
        :raises KeysError: it needs an identity that isn't here.
        """
        there = {meta["path"] for meta in self.beside()}
        if not {name, name + SUFFIX} & there:
            raise StoreError(self._none(name))
        sealed = name + SUFFIX in there
        end = SUFFIX if sealed else ""
        with self.drafts() as drafts:
            for part in PARTS:
                self.receive(name + part + end, Path(drafts) / (name + part + end))
            if sealed and not self.identities:
                self._compare(name, Path(drafts))
                return False
            for part in PARTS:
                path = Path(drafts) / (name + part)
                if sealed:
                    decrypt(path.with_name(path.name + SUFFIX), path, self.identities)
                path.replace(folder / path.name)
        return True

    def _compare(self, name: str, drafts: Path) -> None:
        """Compare what came back with the sums from when it was put there."""
        known = self.folder / f"{name}.stored"
        if not known.is_file():
            raise KeysError(f"BACKUP_IDENTITY is not set: {name} is encrypted, and needs it")
        for line in known.read_text(encoding="utf-8").splitlines():
            digest, _, path = line.partition("  ")
            with (drafts / path).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                    raise StoreError(f"{path}: the storage holds another file than was put there")

    def _none(self, wanted: str) -> str:
        if not self.names():
            return "there is no dump in BACKUP_STORE_URL yet: make backup"
        return f"FROM={wanted}: there is no such dump; there are:\n{self.listed()}".rstrip()


def in_a_pod(storage: Storage, what: str, env: Mapping[str, str]) -> None:
    """Do the part of a pod's work that is between its dump and its proof."""
    do, folder = env.get("BACKUP_DO") or "nightly", storage.folder
    if what == "upload":
        here = sorted(path.name for path in folder.iterdir() if DUMP.fullmatch(path.name))
        for name in here if do in DUMPS else []:
            storage.put(name)
            print(f"backup: {name}: uploaded to {env['BACKUP_STORE_URL']}")
    elif do == "list":
        print(storage.listed(), end="")
    elif do not in {"dump", "settle"}:
        name = env.get("FROM") or next(iter(storage.names()), "")
        if not storage.fetch(name, folder):
            print(f"backup: {name}: the storage has it as it was put there")
            return
        # What is proven is what the storage holds.
        for path in folder.iterdir():
            if DUMP.match(path.name) and not path.name.startswith(name):
                path.unlink()
        print(f"backup: {name}: downloaded")


def run(storage: Storage, words: list[str], env: Mapping[str, str]) -> str:
    """Do what *words* say, and return what there is to say of it.

    :raises StoreError: it is nothing that can be asked for.
    """
    match words:
        case ["upload" | "download" as what]:
            in_a_pod(storage, what, env)
        case ["names"]:
            return storage.listed()
        case ["put", name]:
            storage.put(name)
            return f"{name}: stored in {env['BACKUP_STORE_URL']}\n"
        case ["fetch", name, folder]:
            return "here\n" if storage.fetch(name, Path(folder)) else "same\n"
        case ["fetch-archive", wanted]:
            from . import archive

            archive.fetch(storage, wanted)
        case ["prove", name]:
            storage.prove(name)
        case ["forget", name]:
            storage.forget(name)
        case _:
            raise StoreError("expected put, fetch, prove, names, forget, upload or download")
    return ""


def attempt(words: list[str], env: Mapping[str, str]) -> tuple[bool, str]:
    """Do what *words* say; return whether it succeeded, and what there is to say of it."""
    try:
        return True, run(Storage(env), words, env)
    except (StoreError, KeysError) as error:
        return False, f"backup: {error}\n"
    except (BaseError, OSError) as error:
        return False, (
            f"backup: {words[0]} failed: {str(error).splitlines()[0]}\n"
            "backup: BACKUP_STORE_URL, AWS_ENDPOINT_URL and AWS_REGION say where the storage is;\n"
            "backup: BACKUP_ACCESS_KEY_ID and BACKUP_SECRET_ACCESS_KEY in .env, or the Secret "
            "backup-s3, who asks\n"
        )


if __name__ == "__main__":
    succeeded, said = attempt(sys.argv[1:], os.environ)
    (sys.stdout if succeeded else sys.stderr).write(said)
    sys.exit(not succeeded)

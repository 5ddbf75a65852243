"""Turns itself into a program that does not outlive the stack; run as a script, never imported.

``launch.py PARENT USER CAPABILITY PROGRAM [ARGUMENT...]``, each of USER and CAPABILITY ``-`` for
none. Between fork and exec little is safe in a process with threads; here, after an exec, all is.

On Linux the kernel sends SIGTERM to the program when its parent is gone (``PR_SET_PDEATHSIG``,
prctl(2)): a ``kill -9`` of the stack's own process leaves nothing running. Elsewhere the next
start cleans up (processes.py).
"""

import ctypes
import os
import pwd
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP = 28, 4
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
LINUX_CAPABILITY_VERSION_3 = 0x20080522


class CapHeader(ctypes.Structure):
    """``struct __user_cap_header_struct``."""

    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class CapData(ctypes.Structure):
    """``struct __user_cap_data_struct``; there are two, for capabilities 0-31 and 32-63."""

    _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]


def check(result: int, call: str) -> None:
    """End the process when a system call failed."""
    if result != 0:
        sys.exit(f"{call}: {os.strerror(ctypes.get_errno())}")


def become(name: str, capability: str) -> None:
    """Change to the user *name*, keeping nothing of root's power but *capability* (a number)."""
    account = pwd.getpwnam(name)
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
        bit = 1 << int(capability)
        data = (CapData * 2)(CapData(bit, bit, bit), CapData(0, 0, 0))
        header = CapHeader(LINUX_CAPABILITY_VERSION_3, 0)
        check(libc.capset(ctypes.byref(header), data), "capset")
        raised = libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, int(capability), 0, 0)
        check(raised, "prctl(PR_CAP_AMBIENT)")
    os.environ["HOME"] = account.pw_dir


def main(parent: str, user: str, capability: str, *program: str) -> None:
    """Prepare this process and become *program*."""
    if user != "-":
        become(user, capability)
    if sys.platform == "linux":
        # After the change of user, which would undo it.
        libc = ctypes.CDLL(None, use_errno=True)
        check(libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != int(parent):
        sys.exit("the stack ended while this program started")
    os.execvp(program[0], program)  # noqa: S606


if __name__ == "__main__":
    main(*sys.argv[1:])

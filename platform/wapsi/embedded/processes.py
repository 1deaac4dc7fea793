"""Processes of the embedded servers: whom they run as, how they end with us, and who is in the way."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_LINUX = sys.platform == "linux"

# Runs between fork and the program: leaves root, asks the kernel for a signal when the parent dies (a change of uid
# would clear that, so it comes second), and becomes the program. A preexec_fn would do the same, but forks a
# threaded process into Python code, which can deadlock and warns from 3.12 on.
_LAUNCHER = """
import ctypes, os, signal, sys  # all before the user changes, who may not be able to read Python's own folder
parent, death, uid, gid = map(int, sys.argv[1:5])
signal.signal(signal.SIGINT, signal.SIG_DFL)
libc = ctypes.CDLL(None)
if uid >= 0:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
if death and sys.platform == "linux":
    libc.prctl(1, death)
    if os.getppid() != parent:
        sys.exit("the parent died before the start")
try:
    os.execv(sys.argv[5], sys.argv[5:])
except OSError as error:
    sys.exit(f"cannot execute {sys.argv[5]}: {error.strerror}")
"""


@dataclass(frozen=True, slots=True)
class RunAs:
    """The user and group that a server runs as, where that is not ours."""

    uid: int
    gid: int


def guarded(command: Sequence[str], *, run_as: RunAs | None = None, death_signal: int = 0) -> list[str]:
    """A command line that runs `command` (an absolute program) as `run_as`, with `death_signal` when we die.

    The process id stays the same, as the launcher becomes the program. The kernel counts the end of the thread that
    started the child as the parent's death, so outside the main thread no signal is asked for.
    """
    if threading.current_thread() is not threading.main_thread():
        death_signal = 0
    if not (run_as or death_signal):
        return list(command)
    uid, gid = (run_as.uid, run_as.gid) if run_as else (-1, -1)
    arguments = (os.getpid(), int(death_signal), uid, gid)
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, *map(str, arguments), *command]


def output_of(
    command: Sequence[str], *, run_as: RunAs | None = None, stdin: str = "", death_signal: int = 0
) -> tuple[int, str, str]:
    """(exit status, standard output, standard error) of a short-lived program, with a clean environment."""
    done = subprocess.run(  # noqa: S603
        guarded(command, run_as=run_as, death_signal=death_signal),
        input=stdin,
        capture_output=True,
        text=True,
        errors="replace",
        cwd="/",
        env=clean_environment(),
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def clean_environment() -> dict[str, str]:
    """Without the PG… variables of the person's own databases, and in one language."""
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", "TZ": "UTC"}


def is_alive(pid: int) -> bool:
    """Whether a process has this id; one that has ended and only waits to be collected does not count."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return not _LINUX


def command_of(pid: int) -> str:
    """A process's command line in short, or '' when it cannot be seen."""
    if _LINUX:
        try:
            raw = (_PROC / str(pid) / "cmdline").read_bytes()
        except OSError:
            return ""
        return raw.replace(b"\0", b" ").decode(errors="replace").strip()
    return output_of(["/bin/ps", "-o", "command=", "-p", str(pid)])[1].strip()


def processes_in(folder: Path) -> list[int]:
    """Processes whose working folder is `folder`: a database server and its helpers, or a queue server."""
    if not _LINUX:
        listing = output_of(["/bin/ps", "-axo", "pid=,command="])[1].splitlines()
        return [int(line.split()[0]) for line in listing if str(folder) in line]
    target, found = os.path.realpath(folder), []
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                if os.readlink(entry / "cwd").removesuffix(" (deleted)") == target and is_alive(int(entry.name)):
                    found.append(int(entry.name))
            except OSError:
                continue  # ended meanwhile, or another user's
    return found


def end(pids: Iterable[int], *signals: tuple[int, float]) -> bool:
    """Sends each signal in turn (0: none) to those still alive, and waits its seconds. True when all have ended."""
    left = list(pids)
    for number, wait_s in signals:
        for pid in left:
            try:
                os.kill(pid, number)
            except (ProcessLookupError, PermissionError):
                continue
        deadline = time.monotonic() + wait_s
        while (left := [pid for pid in left if is_alive(pid)]) and time.monotonic() < deadline:
            time.sleep(0.02)
        if not left:
            return True
    return False


def listener_of(port: int) -> int | None:
    """The id of the process that listens on a TCP port of this machine, where the system lets us see it."""
    sockets = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = (_PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                sockets.add(f"socket:[{fields[9]}]")
    for entry in _PROC.iterdir() if sockets else ():
        if entry.name.isdigit():
            try:
                if any(os.readlink(descriptor) in sockets for descriptor in (entry / "fd").iterdir()):
                    return int(entry.name)
            except OSError:
                continue
    return None

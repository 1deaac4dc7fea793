"""How a process gives way to others on the machine that it shares with them, and how it comes before them."""

import ctypes
import os
import platform
import random
import re
import time
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

SESSION_PRIORITY = Path("/proc/self/autogroup")
_LOWEST = 19
_ATTEMPTS = 5
# The shortest that there is.
_SHORT_TURN_NS = 100_000
# The calls of the kernel that write and read a thread's attributes; the standard library has no names for them.
_CALLS = {"x86_64": (314, 315), "aarch64": (274, 275)}


class _Attributes(ctypes.Structure):
    """`struct sched_attr` of the kernel, in its first version."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime_ns", ctypes.c_uint64),
        ("deadline_ns", ctypes.c_uint64),
        ("period_ns", ctypes.c_uint64),
    )


def give_way(nice: int, *, session_priority: Path = SESSION_PRIORITY) -> None:
    """Lowers this process by `nice` (0 to 19). Blocks for up to a second: for the start of a process.

    Linux weighs sessions against each other and, by `nice`, only the processes of one session: a process that leads a
    session of its own, as a service manager starts it, lowers that as well. In a control group that has a share of the
    processor neither counts but that share (`cpu_shares` in compose.yaml).
    """
    os.nice(nice)
    if not nice or os.getsid(0) != os.getpid():
        return
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _lower(session_priority, nice)
            return
        except BlockingIOError:
            # On the whole machine one a tenth of a second may, and our processes are started together.
            if attempt < _ATTEMPTS:
                time.sleep(random.uniform(0.1, 0.2))  # noqa: S311  # no secret
        except OSError as error:
            log.info("session_priority_kept", reason=str(error))  # not Linux, or a kernel without it
            return
    log.info("session_priority_kept", reason="others were changing theirs")


def _lower(session_priority: Path, nice: int) -> None:
    before = re.search(r"nice (-?\d+)", session_priority.read_text())
    session_priority.write_text(str(min(_LOWEST, nice + int(before[1])) if before else nice))


def answer_soon() -> None:
    """Asks for short turns on the processor, for this thread and those that it starts.

    Linux (from 6.12) lets one that wakes for a short turn come before others that are in the middle of a long one: a
    request is begun at once and not some milliseconds later. The share of the processor stays the same, and no right
    is needed. Elsewhere nothing changes.
    """
    calls = _CALLS.get(platform.machine()) if platform.system() == "Linux" else None
    if calls is None:
        return
    write, read = calls
    system = ctypes.CDLL(None, use_errno=True)
    attributes = _Attributes(size=ctypes.sizeof(_Attributes))
    if system.syscall(read, 0, ctypes.byref(attributes), attributes.size, 0):
        log.info("turns_kept", reason=os.strerror(ctypes.get_errno()))
        return
    attributes.runtime_ns = _SHORT_TURN_NS
    if system.syscall(write, 0, ctypes.byref(attributes), 0):
        log.info("turns_kept", reason=os.strerror(ctypes.get_errno()))

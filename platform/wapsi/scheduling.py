"""How a process gives way to others on the machine that it shares with them."""

import os
import random
import re
import time
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

SESSION_PRIORITY = Path("/proc/self/autogroup")
_LOWEST = 19
_ATTEMPTS = 5


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

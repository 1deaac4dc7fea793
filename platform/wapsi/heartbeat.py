"""A file that a process without a port touches while it is well: for supervisors and container health checks."""

import threading
import time
from pathlib import Path

INTERVAL_S = 2.0
STALE_AFTER_S = 15.0


class Heartbeat:
    """Touches the file until stopped. `path` None does nothing."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        if self._path is not None:
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._path is not None:
            if self._thread.is_alive():
                self._thread.join()  # or it might touch the file once more after it is gone
            self._path.unlink(missing_ok=True)

    def _beat(self) -> None:
        assert self._path is not None
        while not self._stop.is_set():
            self._path.touch()
            self._stop.wait(INTERVAL_S)


def is_fresh(path: Path) -> bool:
    """Whether the process that owns the file was well a moment ago."""
    try:
        return time.time() - path.stat().st_mtime < STALE_AFTER_S
    except FileNotFoundError:
        return False

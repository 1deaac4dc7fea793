"""A server that we start and stop ourselves, without the supervisor: for tests and one-off commands."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from wapsi.embedded.errors import explained
from wapsi.embedded.folders import open_log, tail_of
from wapsi.embedded.processes import RunAs, clean_environment, guarded

_POLL_S = 0.02


class ServerProcess:
    """At most one running process; its output goes to the log. `name` is for messages."""

    def __init__(self, name: str, log_path: Path) -> None:
        self._name = name
        self._log_path = log_path
        self._log_start = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self, command: Sequence[str], *, stop_signal: int, cwd: Path, run_as: RunAs | None = None) -> None:
        """Started from the main thread, it gets `stop_signal` when we die (Linux)."""
        log = open_log(self._log_path)
        self._log_start = os.fstat(log).st_size
        try:
            self._process = subprocess.Popen(  # noqa: S603
                guarded(command, run_as=run_as, death_signal=stop_signal),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=cwd,
                env=clean_environment(),
                start_new_session=True,
            )
        except OSError as error:
            raise explained(f"{self._name} could not be started ({command[0]}).", str(error)) from error
        finally:
            os.close(log)

    def wait_ready(self, is_ready: Callable[[], bool], timeout_s: float) -> None:
        """Raises EmbeddedError with the log's last lines when the server ends, or the time does."""
        deadline = time.monotonic() + timeout_s
        while not is_ready():
            if self._process is not None and self._process.poll() is not None:
                raise explained(f"{self._name} did not start:", tail_of(self._log_path, self._log_start))
            if time.monotonic() > deadline:
                log = tail_of(self._log_path, self._log_start)
                raise explained(f"{self._name} was not ready after {timeout_s:g} s:", log)
            time.sleep(_POLL_S)

    def stop(self, *signals: tuple[int, float]) -> None:
        """Sends each signal and waits its seconds, until the process has ended; SIGKILL comes last."""
        process, self._process = self._process, None
        if process is None:
            return
        for number, wait_s in (*signals, (signal.SIGKILL, None)):
            process.send_signal(number)
            try:
                process.wait(wait_s)
            except subprocess.TimeoutExpired:
                continue
            return

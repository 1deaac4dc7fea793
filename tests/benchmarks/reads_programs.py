"""Servers that are measured beside the product, each one process, on a port of their own."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx2

from tests.benchmarks.paths import PYTHON, ROOT
from wapsi.embedded.processes import guarded

_START_LIMIT_S = 60.0
_STOP_LIMIT_S = 5.0
BARE = "tests.benchmarks.load.bare:app"
# As the product's own server, which is told the same in wapsi/roots/serve.py.
UVICORN_OPTIONS = ("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--no-server-header")


class ProgramBroken(Exception):
    """It did not start or ended; the end of its log is in the message."""


@contextlib.contextmanager
def running(
    name: str,
    command: Sequence[str],
    folder: Path,
    *,
    port: int,
    path: str = "/",
    environment: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
) -> Iterator[str]:
    """The address of a server, once `path` is answered with 200. Raises ProgramBroken."""
    log_path = folder / f"{name}.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            guarded(command, death_signal=signal.SIGKILL),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=cwd,
            env=os.environ if environment is None else environment,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(name, process, f"{url}{path}", log_path)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(name: str, process: "subprocess.Popen[bytes]", url: str, log_path: Path) -> None:
    deadline = time.monotonic() + _START_LIMIT_S
    said = "it did not listen"
    while True:
        if process.poll() is not None:
            raise ProgramBroken(f"{name} ended with status {process.returncode}:\n{_end_of(log_path)}")
        with contextlib.suppress(httpx2.TransportError):
            answer = httpx2.get(url, timeout=10)
            if answer.status_code == 200:
                return
            said = f"{answer.status_code} {answer.text[:300]}"
        if time.monotonic() > deadline:
            raise ProgramBroken(f"{name} was not ready after {_START_LIMIT_S:g} s: {said}\n{_end_of(log_path)}")
        time.sleep(0.1)


def _end_of(log_path: Path) -> str:
    return "\n".join(log_path.read_text(errors="replace").splitlines()[-15:])


def uvicorn(
    app: str, name: str, folder: Path, *, path: str = "/", **environment: str
) -> contextlib.AbstractContextManager[str]:
    """One of our own ASGI applications, on the server program that the product runs on, one process."""
    port = free_port()
    command = [PYTHON, "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", str(port), *UVICORN_OPTIONS]
    return running(name, command, folder, port=port, path=path, environment={**os.environ, **environment})


def bare(folder: Path, name: str = "bare") -> contextlib.AbstractContextManager[str]:
    return uvicorn(BARE, name, folder)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

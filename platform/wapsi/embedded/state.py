"""The state folder of `wapsi up` (`.wapsi/`): who uses it, what lies where, and its secrets."""

import errno
import os
import secrets
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from wapsi.embedded.errors import EmbeddedError, refused
from wapsi.embedded.folders import FolderLock, holder_words, require_free_space
from wapsi.embedded.processes import listener_of


class StateFolder:
    """Enter it to use it: one process at a time. Layout:

    lock             the lock, with the process id of the one that runs
    postgres/        the database          valkey/    the queue's append-only file
    logs/NAME.log    each child's output   secrets/   one file a secret, mode 0600
    demo.json        addresses and the demo's credentials, mode 0600
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.abspath(path))
        self.logs = self.path / "logs"
        self.secrets = self.path / "secrets"
        self.demo_file = self.path / "demo.json"
        self._lock = FolderLock(self.path / "lock", "wapsi is already running")

    def __enter__(self) -> Self:
        """Raises EmbeddedError: it is in use, cannot be made, or has too little space."""
        try:
            # As root, the database's own user has to get through to its folder; what is secret has its own mode.
            self.path.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)
            self._lock.acquire()
            require_free_space(self.path)
            for folder in (self.logs, self.secrets):
                folder.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            self._lock.release()
            raise refused(self.path, error, "use the state folder") from error
        except EmbeddedError:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def secret(self, name: str, make: Callable[[], str]) -> str:
        """The secret of that name, made at its first use."""
        return load_or_create_secret(self.secrets / name, make)


def load_or_create_secret(path: Path, make: Callable[[], str]) -> str:
    """What the file holds; where there is none, what `make` gives, written with mode 0600 as a whole or not at all.

    Raises EmbeddedError when others may read it: it is no secret any more.
    """
    try:
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            return _create_secret(path, make())
        if stat.S_IMODE(mode) & 0o077:
            raise EmbeddedError(
                f"{path} holds a secret, and others can read it (mode {stat.S_IMODE(mode):04o}): "
                f"`chmod 600 {path}`, or remove it to have a new one made."
            )
        value = path.read_text().strip()
    except OSError as error:
        raise refused(path, error, "use the secret in") from error
    if not value:
        raise EmbeddedError(f"{path} is empty: remove it to have a new secret made.")
    return value


def _create_secret(path: Path, value: str) -> str:
    """Two processes may come here at once: the first one's value is taken by both."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(value + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(unfinished, path)
    except FileExistsError:
        return path.read_text().strip()
    finally:
        unfinished.unlink()
    return value


def ensure_port_free(port: int, env_name: str, host: str = "127.0.0.1", *, patience_s: float = 0.0) -> None:
    """Raises EmbeddedError, naming the port, who has it and the setting to change, unless it can be listened on.

    `patience_s` is for a port that a killed run's children may still be about to leave.
    """
    deadline = time.monotonic() + patience_s
    while (error := _bind_error(host, port)) is not None:
        if error.errno == errno.EADDRINUSE and time.monotonic() < deadline:
            time.sleep(0.1)
            continue
        advice = f"Set {env_name} to another port"
        if error.errno == errno.EADDRINUSE:
            holder = holder_words(listener_of(port))
            raise EmbeddedError(f"Port {port} is taken by {holder}. {advice}, or end that process.")
        if error.errno == errno.EACCES:
            raise EmbeddedError(f"Port {port} needs special rights. {advice} above 1023.")
        raise EmbeddedError(f"{host}:{port} cannot be listened on: {error.strerror}. {advice}.")


def _bind_error(host: str, port: int) -> OSError | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None

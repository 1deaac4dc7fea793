"""Folders, locks and log files that the embedded servers stand on."""

import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Self

from wapsi.embedded.errors import EmbeddedError, refused
from wapsi.embedded.processes import RunAs, command_of, output_of

FREE_SPACE_MIN_BYTES = 500 * 1024 * 1024
LOG_LIMIT_BYTES = 10 * 1024 * 1024
# A unix socket's whole path has room for 104 bytes on macOS and 108 on Linux, its closing zero included.
_SOCKET_PATH_LIMIT_BYTES = 100
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+")


class FolderLock:
    """An exclusive lock that ends with the process, however it ends. The file names the holder's process id."""

    def __init__(self, path: Path, held_words: str) -> None:
        self._path = path
        self._held_words = held_words
        self._descriptor: int | None = None

    def acquire(self) -> Self:
        """Raises EmbeddedError with the holder's process id. Does nothing when this object holds it already."""
        if self._descriptor is not None:
            return self
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise refused(self._path, error, "open the lock") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip()
            os.close(descriptor)
            raise EmbeddedError(f"{self._held_words} as pid {holder or 'unknown'} (lock: {self._path}).") from None
        except OSError as error:
            os.close(descriptor)
            raise refused(self._path, error, "lock") from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor
        return self

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def key_of(folder: Path) -> str:
    """Twelve letters that stand for a folder's place."""
    return hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:12]


def make_folder(path: Path, *, owner: RunAs | None = None, mode: int = 0o700) -> Path:
    """Makes a folder of ours (or of `owner`'s), or takes the one that is there if nobody else can change it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            pass
        else:
            if owner:
                os.chown(path, owner.uid, owner.gid)
            path.chmod(mode)
        found = path.lstat()
    except OSError as error:
        raise refused(path, error, "make the folder") from error
    uid = owner.uid if owner else os.geteuid()
    if not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o022:
        raise EmbeddedError(f"{path} is not a folder that only its owner can change: remove it and start again.")
    if found.st_uid != uid:
        raise EmbeddedError(
            f"{path} belongs to user {found.st_uid}, and user {uid} wants to use it: "
            "start as the one who started before (with or without sudo), or remove it."
        )
    return path


def socket_folder(preferred: Path, file_name: str, owner: RunAs | None = None) -> Path:
    """A private folder for a unix socket: `preferred`, or a short one in /tmp where the path is long or unusual.

    Raises EmbeddedError when someone else owns the place.
    """
    path = os.path.realpath(preferred)
    if len(os.fsencode(f"{path}/{file_name}")) > _SOCKET_PATH_LIMIT_BYTES or not _PLAIN.issuperset(path):
        path = f"/tmp/wapsi-{os.geteuid()}-{key_of(preferred)}"  # noqa: S108 - its owner and mode are checked
    return make_folder(Path(path), owner=owner)


def can_reach(run_as: RunAs, folder: Path) -> bool:
    """Whether that user gets into a folder; asked of the system, which knows about access lists and mounts too."""
    status, _, _ = output_of(["/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder)], run_as=run_as)
    return status == 0


def require_free_space(folder: Path, minimum_bytes: int = FREE_SPACE_MIN_BYTES) -> None:
    """Raises EmbeddedError with too little free space to run a database."""
    free = shutil.disk_usage(folder).free
    if free < minimum_bytes:
        raise EmbeddedError(
            f"Only {free // 2**20} MB are free at {folder}, and at least {minimum_bytes // 2**20} MB are needed: "
            "free some space, or choose another state folder."
        )


def holder_words(pid: int | None) -> str:
    """A process in words: "pid 123 (/usr/bin/thing --flag)"."""
    if pid is None:
        return "another process"
    command = command_of(pid)
    return f"pid {pid} ({command[:80]})" if command else f"pid {pid}"


def rotate_log(path: Path, limit_bytes: int = LOG_LIMIT_BYTES) -> None:
    """Moves what a log holds to `.1` once it is large. Its writers append, so they go on in the emptied file."""
    try:
        if path.stat().st_size <= limit_bytes:
            return
        shutil.copyfile(path, path.with_name(path.name + ".1"))
        os.truncate(path, 0)
    except FileNotFoundError:
        return
    except OSError as error:
        raise refused(path, error, "rotate the log") from error


def open_log(path: Path) -> int:
    """A descriptor that appends to the log, for a child's output; close it once the child has it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        rotate_log(path)
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise refused(path, error, "open the log") from error


def tail_of(path: Path, start: int = 0, lines: int = 15) -> str:
    """The last lines of a log, none before the byte offset `start`."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(min(start, size), size - 16_384))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.strip().splitlines()[-lines:])


def temporary_place(key: str) -> Path:
    """Where disposable data goes when its own folder cannot be reached by the server's user."""
    return Path(tempfile.gettempdir()) / f"wapsi-data-{os.geteuid()}-{key}"

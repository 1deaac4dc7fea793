"""What goes wrong around the embedded servers, always in words that say what to do."""

import os
from pathlib import Path


class EmbeddedError(Exception):
    """Shown to a person as it is. The message names the cause, the place and the way out; never a traceback."""


_DISK_FULL = "The disk is full: free some space and start again."
_NOT_ALLOWED = "The folder's owner or mode does not allow it: was it made by another user, or with sudo?"
_NO_MEMORY = "There is too little free memory: stop something else and start again."
_NO_USER_ENTRY = "The present user has no entry in /etc/passwd: add one, or run as another user."
_HINTS = {
    "No space left on device": _DISK_FULL,
    "Check free disk space": _DISK_FULL,
    "Disk quota exceeded": _DISK_FULL,
    "Read-only file system": "The folder lies on a read-only file system: choose another state folder.",
    "Permission denied": _NOT_ALLOWED,
    "Operation not permitted": _NOT_ALLOWED,
    "Cannot allocate memory": _NO_MEMORY,
    "could not map anonymous shared memory": _NO_MEMORY,
    "could not look up effective user ID": _NO_USER_ENTRY,
    "cannot execute": "The server's program cannot be run here: is the folder mounted with noexec?",
    "Bad file format reading the append only file": (
        "The queue's file is damaged. It holds wake-up calls only, the work itself is in the database: "
        "remove the folder valkey in the state folder and start again."
    ),
}


def explained(message: str, output: str) -> EmbeddedError:
    """`message`, what the program printed (its last lines), and a way out where the cause is known."""
    hint = next((words for part, words in _HINTS.items() if part in output), None)
    lines = [line for line in output.strip().splitlines() if line.strip()][-12:]
    parts = [message, *(f"  {line}" for line in lines)]
    if hint:
        parts.append(hint)
    return EmbeddedError("\n".join(parts))


def refused(path: Path, error: OSError, doing: str) -> EmbeddedError:
    """An OSError while `doing` something at `path`, in words."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    return explained(f"Could not {doing} {path}.", reason)

"""The demo's file: where a running `wapsi up` is, and the credentials for scripts."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

STATE_FOLDER = Path(".wapsi")


def state_folder() -> Path:
    """WAPSI_STATE_DIR, or .wapsi here."""
    return Path(os.environ.get("WAPSI_STATE_DIR") or STATE_FOLDER).resolve()


def write_environment(values: Mapping[str, str]) -> None:
    """The settings of the `wapsi up` that runs here, for commands in another terminal."""
    _write_private(_environment_file(), json.dumps(dict(values), indent=2))


def forget_environment() -> None:
    _environment_file().unlink(missing_ok=True)


def use_demo_environment() -> bool:
    """Without a configuration of its own, a command works on the `wapsi up` that runs here; whether it does."""
    if "WAPSI_DATABASE_URL" in os.environ:
        return False
    try:
        values: dict[str, str] = json.loads(_environment_file().read_text())
    except FileNotFoundError:
        return False
    for name, value in values.items():
        os.environ.setdefault(name, value)
    return True


def _environment_file() -> Path:
    return state_folder() / "environment.json"


def demo_file() -> Path:
    return state_folder() / "demo.json"


def read_demo() -> dict[str, Any]:
    """Empty where no `wapsi up` has run here."""
    try:
        content: dict[str, Any] = json.loads(demo_file().read_text())
    except FileNotFoundError:
        return {}
    return content


def write_demo(content: dict[str, Any]) -> None:
    """Readable by its owner only."""
    _write_private(demo_file(), json.dumps(content, indent=2))


def _write_private(path: Path, content: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
    path.chmod(0o600)

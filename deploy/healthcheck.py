"""The container's health check, for whichever role runs in it. Exits with 0 while the role is well.

The worker and the scheduler have no port: with WAPSI_HEARTBEAT_FILE set, the file must be fresh (what `wapsi heartbeat`
asks too; this starts in a tenth of the time, and it runs every few seconds). Otherwise a path of the REST API is asked:
`/livez`, or the one given.
"""

import os
import sys
import urllib.request
from pathlib import Path

from wapsi.heartbeat import is_fresh


def main() -> int:
    if heartbeat_file := os.environ.get("WAPSI_HEARTBEAT_FILE"):
        return 0 if is_fresh(Path(heartbeat_file)) else 1
    path = sys.argv[1] if len(sys.argv) > 1 else "/livez"
    port = int(os.environ.get("WAPSI_HTTP_PORT") or 8000)
    try:
        # Raises for every status that is not a success.
        urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=4).close()
    except OSError as error:
        sys.stderr.write(f"{path}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

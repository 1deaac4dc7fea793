"""The `wapsi` command."""

import sys

from wapsi.garbage import importing


def main() -> None:
    with importing():
        # Imported here: `python -m wapsi.cli.roles`, which the supervisor runs, does without the other commands.
        from wapsi.cli.app import make_app
        from wapsi.cli.faults import run

        app = make_app(sys.argv[1] if len(sys.argv) > 1 else None)
    run(app)

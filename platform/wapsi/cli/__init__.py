"""The `wapsi` command."""


def main() -> None:
    # Imported here: `python -m wapsi.cli.roles`, which the supervisor runs, does without the other commands.
    from wapsi.cli.app import main as run

    run()

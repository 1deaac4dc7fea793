"""The `wapsi` command."""

from wapsi.cli.app import main

__all__ = ["main"]

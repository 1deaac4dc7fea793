"""All commands in one. A command's module is imported only where it is the one that runs, or all are listed."""

from importlib import import_module

import typer

from wapsi.cli.demo import use_demo_environment

# The name of a command or a group of commands, the module, and what in it.
_COMMANDS = {
    "up": ("wapsi.cli.up", "command"),
    "serve": ("wapsi.cli.roles", "serve"),
    "worker": ("wapsi.cli.roles", "worker"),
    "scheduler": ("wapsi.cli.roles", "scheduler"),
    "migrate": ("wapsi.cli.roles", "migrate"),
    "heartbeat": ("wapsi.cli.roles", "heartbeat"),
    "doctor": ("wapsi.cli.doctor", "command"),
    "feed": ("wapsi.cli.feed", "app"),
    "feed-source": ("wapsi.cli.feed_source", "app"),
    "ledger": ("wapsi.cli.ledger", "app"),
    "operator": ("wapsi.cli.people", "operator_app"),
    "producer": ("wapsi.cli.producers", "app"),
    "merchant": ("wapsi.cli.merchant", "app"),
    "messages": ("wapsi.cli.messages", "command"),
    "sales": ("wapsi.cli.sales", "app"),
    "top": ("wapsi.cli.top", "command"),
    "postback": ("wapsi.cli.postback", "app"),
    "secrets": ("wapsi.cli.secrets", "app"),
}
# These work on what WAPSI_DATABASE_URL names, or else on the `wapsi up` that runs here; processes never do.
_TOOLS = frozenset(
    {
        "doctor",
        "feed",
        "feed-source",
        "ledger",
        "operator",
        "producer",
        "merchant",
        "messages",
        "postback",
        "sales",
        "secrets",
        "top",
    }
)


def make_app(only: str | None = None) -> typer.Typer:
    """With `only` the name of a command, the others are left out."""
    app = typer.Typer(
        name="wapsi",
        help="A cashback platform: everything, or one of its processes.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    for name in [only] if only in _COMMANDS else _COMMANDS:
        module, attribute = _COMMANDS[name]
        command = getattr(import_module(module), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    app.callback()(_choose_environment)
    return app


def _choose_environment(context: typer.Context) -> None:
    if context.invoked_subcommand in _TOOLS:
        use_demo_environment()

"""All commands in one."""

import typer

from wapsi.cli import doctor as doctor_command
from wapsi.cli import feed, ledger, merchant, people, postback, roles, up
from wapsi.cli.demo import use_demo_environment

app = typer.Typer(
    name="wapsi",
    help="A cashback platform: everything, or one of its processes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("up")(up.command)
app.add_typer(roles.app)
app.command("doctor")(doctor_command.command)
app.add_typer(feed.app, name="feed")
app.add_typer(ledger.app, name="ledger")
app.add_typer(people.operator_app, name="operator")
app.add_typer(people.producer_app, name="producer")
app.add_typer(merchant.app, name="merchant")
app.add_typer(postback.app, name="postback")

_TOOLS = frozenset({"doctor", "feed", "ledger", "operator", "producer", "merchant", "postback"})


@app.callback()
def _choose_environment(context: typer.Context) -> None:
    """Tools work on what WAPSI_DATABASE_URL names, or else on the `wapsi up` that runs here; processes never do."""
    if context.invoked_subcommand in _TOOLS:
        use_demo_environment()


def main() -> None:
    roles.run(app)

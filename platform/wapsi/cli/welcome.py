"""What `wapsi up` says when it is ready: what to open, and three lines to try."""

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from wapsi.cli.demo import demo_file
from wapsi.cli.seed import Demo

console = Console(stderr=True)


def print_welcome(demo: Demo, *, seconds: float) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row("API docs", f"[link]{demo.http_url}/docs[/link]")
    table.add_row("gRPC", f"{demo.grpc_target} (with reflection)")
    table.add_row("shopper", f"{demo.customer_email}   password {demo.customer_password}")
    table.add_row("operator", f"{demo.operator_email}   password {demo.operator_password}   (/v1/admin/sessions)")
    table.add_row("", "its second factor: the code that `wapsi operator code` prints")
    table.add_row("credentials", f"{demo_file()} (for scripts)")
    table.add_row("offers", f"{demo.offers:,} of {demo.shops} shops, searchable")
    console.print(Panel(table, title=f"Wapsi is ready ({seconds:.1f} s)", border_style="green", title_align="left"))
    console.print("Try:\n")
    for line in try_lines(demo):
        # Without wrapping or markup: a line that breaks or loses a bracket does not work when it is pasted.
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    console.print("\nCtrl-C stops everything; the state stays in .wapsi/.", style="dim")


def try_lines(demo: Demo) -> list[str]:
    """Three lines that work as printed."""
    return [
        f"curl -s '{demo.http_url}/v1/offers?q=cotton&currency=PKR&sort=price&limit=3'",
        f"curl -s {demo.http_url}/v1/merchants/lahore-threads/rates",
        f"curl -s {demo.http_url}/v1/sessions -H 'Content-Type: application/json' "
        f"""-d '{{"email": "{demo.customer_email}", "password": "{demo.customer_password}"}}'""",
    ]

"""The configuration, or what is wrong with it in words."""

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError
from rich.console import Console

from wapsi.cli.demo import state_folder
from wapsi.config import Settings, get_settings
from wapsi.telemetry.settings import get_telemetry_settings

errors = Console(stderr=True)


def load_settings() -> Settings:
    """Exits with 2 and the faults in words."""
    try:
        get_telemetry_settings()
        return get_settings()
    except (ValidationError, SettingsError) as error:
        errors.print("[red]The configuration is not complete:[/red]")
        for line in settings_problems(error):
            errors.print(f"  • {line}")
        errors.print(
            f"No `wapsi up` runs in {state_folder()}. Start one, change to its project's folder, or set "
            "the variables; `wapsi doctor` checks them."
        )
        raise typer.Exit(2) from None


def settings_problems(error: ValidationError | SettingsError) -> list[str]:
    """One line a setting, by its environment name; values are not repeated, since they may be secrets."""
    if isinstance(error, SettingsError):
        # A file of WAPSI_SECRETS_DIR that cannot be read, or a list that is not JSON.
        cause = f" ({error.__cause__})" if isinstance(error.__cause__, OSError) else ""
        return [f"{error}{cause}"]
    lines = []
    for item in error.errors():
        name = "_".join(str(part) for part in item["loc"]).upper()
        what = "is not set" if item["type"] == "missing" else item["msg"].removeprefix("Value error, ")
        lines.append(f"WAPSI_{name} {what}" if name else what)
    return lines

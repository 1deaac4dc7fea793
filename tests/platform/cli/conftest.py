from collections.abc import Callable, Iterator

import pytest
from typer.testing import CliRunner, Result

from wapsi.cli.app import make_app
from wapsi.config import Settings, get_settings

Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """`run("doctor", WAPSI_QUEUE_URL=…)` runs a command in an environment that holds nothing else of ours."""
    runner = CliRunner()

    def run(*arguments: str, **environment: str) -> Result:
        get_settings.cache_clear()
        wide = {"COLUMNS": "300", "TERM": "dumb", "NO_COLOR": "1"}
        return runner.invoke(make_app(), list(arguments), env=wide | environment)

    yield run
    get_settings.cache_clear()


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    """A good configuration."""
    return {
        "WAPSI_DATABASE_URL": settings.database_url,
        "WAPSI_DATABASE_MIGRATION_URL": settings.migration_url,
        "WAPSI_QUEUE_URL": settings.queue_url,
        "WAPSI_SECRET_KEY": settings.secret_key.get_secret_value(),
        "WAPSI_SIGNING_KEY": settings.signing_key.get_secret_value(),
    }

"""`wapsi operator code`: the second factor of the sample operator, for who tries things out."""

from pathlib import Path

import pyotp
import pytest
from typer.testing import CliRunner

from wapsi.cli.demo import write_demo
from wapsi.cli.people import operator_app

SECRET = pyotp.random_base32()


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAPSI_STATE_DIR", str(tmp_path))


def test_it_prints_a_code_of_the_sample_operators_app() -> None:
    write_demo({"operator_totp_secret": SECRET})
    result = CliRunner().invoke(operator_app, ["code"])
    assert result.exit_code == 0
    assert pyotp.TOTP(SECRET).verify(result.stdout.strip(), valid_window=1)


def test_without_a_sample_operator_it_says_so() -> None:
    result = CliRunner().invoke(operator_app, ["code"])
    assert result.exit_code == 1
    assert "wapsi up" in result.stderr

"""The docs name what is there, and lead to what exists."""

import re
from pathlib import Path

import pytest

from domains.cashback.config import CashbackSettings
from domains.offers.config import FeedFetchSettings
from wapsi.config import Settings
from wapsi.limits import LimitSettings
from wapsi.telemetry.settings import TARGETS_VARIABLE, TelemetrySettings

NAMES = sorted(
    [
        *Settings.model_fields,
        *LimitSettings.model_fields,
        *TelemetrySettings.model_fields,
        *(f"cashback_{name}" for name in CashbackSettings.model_fields),
        *(f"feed_fetch_{name}" for name in FeedFetchSettings.model_fields),
    ]
)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)[^)]*\)")


def pages(root: Path) -> list[Path]:
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def test_every_link_leads_somewhere(root: Path) -> None:
    dead = [
        f"{page.relative_to(root)} -> {target}"
        for page in pages(root)
        for target in LINK.findall(page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert dead == []


def test_a_dead_link_is_noticed() -> None:
    assert LINK.findall("see [here](docs/nowhere.md#part), [there](https://example.org)") == ["docs/nowhere.md"]


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_in_the_deployment_guide(root: Path, name: str) -> None:
    guide = (root / "docs" / "deployment.md").read_text(encoding="utf-8")
    if name.startswith("rate_limit_"):  # the table of quotas has a page of its own
        guide = (root / "docs" / "limits.md").read_text(encoding="utf-8")
        assert f"| `{name.removeprefix('rate_limit_')}` |" in guide
    else:
        assert f"`WAPSI_{name.upper()}`" in guide


def test_the_deployment_guide_names_no_setting_that_is_gone(root: Path) -> None:
    guide = (root / "docs" / "deployment.md").read_text(encoding="utf-8")
    in_table = set(re.findall(r"^\| `WAPSI_([A-Z_]+)`", guide, re.M))
    beside_settings = {"SECRETS_DIR", TARGETS_VARIABLE.removeprefix("WAPSI_")}
    assert in_table - beside_settings <= {name.upper() for name in NAMES}


def test_every_decision_is_in_the_index(root: Path) -> None:
    folder = root / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in sorted(folder.glob("0*.md")) if page.name not in index] == []

"""scripts/audit.py calls nothing a success that it did not look at, and agrees to no licence unasked."""

from typing import Any

import pytest

from scripts import audit
from scripts.audit import Verdict


def looked_up(*packages: dict[str, Any]) -> dict[str, Any]:
    return {"dependencies": list(packages)}


GOOD = {"name": "sound", "version": "1.0", "vulns": []}
UNKNOWN = {"name": "unknown", "skip_reason": "Dependency not found on PyPI"}
HOLE = {"name": "bad", "version": "2.0", "vulns": [{"id": "CVE-2030-1", "fix_versions": ["2.1"]}]}


def test_what_was_looked_up_and_found_sound_passes() -> None:
    assert audit.holes_of(looked_up(GOOD)).verdict is Verdict.PASSED


def test_a_package_that_could_not_be_looked_up_is_no_success() -> None:
    finding = audit.holes_of(looked_up(GOOD, UNKNOWN))
    assert finding.verdict is Verdict.NOT_RUN
    assert "1 of 2 packages" in finding.summary


def test_a_known_hole_fails_and_says_what_mends_it() -> None:
    finding = audit.holes_of(looked_up(UNKNOWN, HOLE))
    assert finding.verdict is Verdict.FAILED
    assert finding.details == ("bad 2.0: CVE-2030-1, mended in 2.1",)


@pytest.mark.parametrize(
    "licence",
    ["MIT", "Apache-2.0 OR BSD-3-Clause", "MPL-2.0 AND (Apache-2.0 OR MIT)", "ISC License (ISCL)", "PSF-2.0"],
)
def test_a_free_licence_is_agreed_to(licence: str) -> None:
    assert audit.is_free(licence)


@pytest.mark.parametrize(
    "licence",
    ["", "Proprietary", "GPL-3.0-only", "MIT AND AGPL-3.0-only", "GPL-3.0-only AND (ISC OR MIT)", "MITIGATED"],
)
def test_any_other_is_not(licence: str) -> None:
    assert not audit.is_free(licence)


def test_the_locks_are_pinned_by_hash_and_their_licences_are_free() -> None:
    assert audit.check_hashes().verdict is Verdict.PASSED, audit.check_hashes().details
    assert audit.check_licences().verdict is Verdict.PASSED, audit.check_licences().details


def test_the_bill_of_materials_holds_what_is_shipped_and_nothing_else() -> None:
    bill = {
        "metadata": {"component": {"bom-ref": "root"}},
        "components": [{"name": "Shipped_One", "bom-ref": "a"}, {"name": "for-tests", "bom-ref": "b"}],
        "dependencies": [{"ref": "root", "dependsOn": ["a", "b"]}, {"ref": "b"}, {"ref": "a", "dependsOn": ["b"]}],
    }
    kept = audit.only(bill, {"shipped-one": "1.0"})
    assert audit.names_in(kept) == {"shipped-one"}
    assert kept["dependencies"] == [{"ref": "root", "dependsOn": ["a"]}, {"ref": "a", "dependsOn": []}]

"""Audits what the project depends on: known holes, licences, hashes; and writes the bill of materials (CycloneDX).

    python scripts/audit.py [--strict]

Known holes are looked up on the network. Where it does not answer, that step says that it could not run, and is no
success: with --strict (for a pipeline) it fails. Bandit's rules are among ruff's (S) and run with every `make test`.
"""
# ruff: noqa: S603, T201 - running other programs and printing is all this does

import importlib.metadata
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
RUNTIME, EVERYTHING = ROOT / "requirements-runtime.lock", ROOT / "requirements.lock"
SBOM = ROOT / "dist" / "wapsi.cdx.json"
LOOK_UP_TIMEOUT_S = 300

# What may be shipped with a closed product, as packages name it. MPL and LGPL: used unchanged, beside our own code.
FREE = re.compile(
    r"0BSD|Apache([- ]Software)?([- ]License)?([- ,]*(Version )?2\.0)?|(3-Clause )?BSD([- ]License)?(-[23]-Clause)?|ISC"
    r"( License \(ISCL\))?|MIT([- ]License|-0)?|Mozilla Public License 2\.0 \(MPL 2\.0\)|MPL-2\.0|PSF-2\.0"
    r"|Python Software Foundation License|The Unlicense \(Unlicense\)|Unlicense|Zlib"
)
# Words around the licence in old metadata.
NO_LICENCE = {"OSI Approved", "DFSG approved"}
EXCEPTIONS = {
    "dramatiq": "LGPL-3.0-or-later: a library, imported as it is; whoever ships it lets users replace it (they can)",
    "forbiddenfruit": "says GPLv3 or MIT; taken under MIT, and only by tests (blockbuster)",
}


class Verdict(Enum):
    PASSED = "✓"
    FAILED = "✗"
    NOT_RUN = "–"


@dataclass(frozen=True)
class Finding:
    verdict: Verdict
    summary: str
    details: tuple[str, ...] = ()


def locked(lock: Path) -> dict[str, str]:
    """Name and version of each package of a lock; names as the index compares them."""
    pairs = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {normal(name): version for name, version in pairs}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def check_hashes() -> Finding:
    """Every package of every lock is pinned to the hashes of its files."""
    bare, count = [], 0
    for lock in (RUNTIME, EVERYTHING):
        for entry in re.split(r"\n(?=[A-Za-z0-9])", lock.read_text(encoding="utf-8")):
            if "==" in entry:
                count += 1
                if "--hash=sha256:" not in entry:
                    bare.append(f"{lock.name}: {entry.splitlines()[0]}")
    if bare:
        return Finding(Verdict.FAILED, "packages without a hash", tuple(bare))
    return Finding(Verdict.PASSED, f"{count} pins, each with the hashes of its files")


def known_holes(lock: Path) -> Finding:
    command = [str(BIN / "pip-audit"), "--requirement", str(lock), "--disable-pip", "--format", "json"]
    command += ["--progress-spinner", "off", "--timeout", "10"]
    try:
        done = subprocess.run(command, cwd=ROOT, text=True, check=False, capture_output=True, timeout=LOOK_UP_TIMEOUT_S)
        report = json.loads(done.stdout)
    except (json.JSONDecodeError, subprocess.TimeoutExpired):
        return Finding(Verdict.NOT_RUN, "the database of known holes did not answer; run this again with a network")
    return holes_of(report)


def holes_of(report: Mapping[str, Any]) -> Finding:
    """pip-audit finds nothing in what it could not look up, and calls that a success; here it is none."""
    packages = report["dependencies"]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    holes = [
        f"{package['name']} {package['version']}: {hole['id']}, mended in {', '.join(hole['fix_versions']) or 'none'}"
        for package in packages
        for hole in package.get("vulns", ())
    ]
    if holes:
        return Finding(Verdict.FAILED, f"{len(holes)} known holes", tuple(holes))
    if skipped:
        return Finding(
            Verdict.NOT_RUN,
            f"{len(skipped)} of {len(packages)} packages could not be looked up (no network, or an index without PyPI's"
            " data on vulnerabilities); run this again where the public index can be reached",
        )
    return Finding(Verdict.PASSED, f"no known hole in {len(packages)} packages")


def licence_of(metadata: Mapping[str, Any], classifiers: Iterable[str]) -> str:
    """The SPDX expression where there is one, else what the classifiers or the old field say."""
    named = [part.rsplit(" :: ", 1)[-1] for part in classifiers if part.startswith("License ::")]
    old = (metadata.get("License") or "").split("\n")[0]
    return metadata.get("License-Expression") or " AND ".join(n for n in named if n not in NO_LICENCE) or old


def is_free(licence: str) -> bool:
    """Whether each licence that is named is free: of those to choose from, too. Who chooses is an exception."""
    names = re.split(r"\s+(?:AND|OR)\s+", licence)
    return all(FREE.fullmatch(_unwrapped(name)) for name in names)


def _unwrapped(name: str) -> str:
    """Without the brackets of an expression, with those of a name such as "ISC License (ISCL)"."""
    name = name.strip().lstrip("(")
    return name if name.count("(") == name.count(")") else name.rstrip(")")


def check_licences() -> Finding:
    counts: Counter[str] = Counter()
    refused, absent = [], []
    for name in locked(EVERYTHING):
        try:
            metadata = importlib.metadata.metadata(name)
        except importlib.metadata.PackageNotFoundError:
            absent.append(name)  # for another system or Python
            continue
        fields = {key: metadata[key] for key in ("License", "License-Expression") if key in metadata}
        licence = licence_of(fields, metadata.get_all("Classifier") or ())
        counts[licence] += 1
        if not is_free(licence) and name not in EXCEPTIONS:
            refused.append(f"{name}: {licence or 'names no licence'}")
    table = [f"{count:4}  {licence}" for licence, count in counts.most_common()]
    table += [f"      exception: {name}: {why}" for name, why in EXCEPTIONS.items()]
    if absent:
        table.append(f"      not installed here, so not looked at: {', '.join(absent)}")
    if refused:
        return Finding(Verdict.FAILED, "licences that nobody has agreed to", (*refused, *table))
    return Finding(Verdict.PASSED, f"{counts.total()} packages", tuple(table))


def write_sbom() -> Finding:
    """Of what a server runs: the environment's, without what only tests and building need."""
    SBOM.parent.mkdir(exist_ok=True)
    command = [str(BIN / "cyclonedx-py"), "environment", sys.executable, "--pyproject", "pyproject.toml"]
    done = subprocess.run(
        [*command, "--output-reproducible", "--output-file", str(SBOM)],
        cwd=ROOT,
        text=True,
        check=False,
        capture_output=True,
    )
    if done.returncode != 0:
        return Finding(Verdict.FAILED, "cyclonedx-py failed", tuple(done.stderr.splitlines()))
    bill = only(json.loads(SBOM.read_text(encoding="utf-8")), locked(RUNTIME))
    SBOM.write_text(json.dumps(bill, indent=1) + "\n", encoding="utf-8")
    others = [f"{name} {version}" for name, version in locked(RUNTIME).items() if name not in names_in(bill)]
    note = (f"for other systems, so not in it: {', '.join(others)}",) if others else ()
    return Finding(Verdict.PASSED, f"{len(bill['components'])} components in {SBOM.relative_to(ROOT)}", note)


def names_in(bill: Mapping[str, Any]) -> set[str]:
    return {normal(component["name"]) for component in bill["components"]}


def only(bill: Mapping[str, Any], packages: Mapping[str, str]) -> dict[str, Any]:
    """The bill with these packages alone, and what depends on what among them."""
    components = [component for component in bill["components"] if normal(component["name"]) in packages]
    own = bill["metadata"]["component"]["bom-ref"]
    kept = {component["bom-ref"] for component in components} | {own}
    dependencies = [
        entry | {"dependsOn": [ref for ref in entry.get("dependsOn", ()) if ref in kept]}
        for entry in bill["dependencies"]
        if entry["ref"] in kept
    ]
    return {**bill, "components": components, "dependencies": dependencies}


STEPS: dict[str, Callable[[], Finding]] = {
    "hashes": check_hashes,
    "licences": check_licences,
    "bill of materials": write_sbom,
    "holes, runtime": lambda: known_holes(RUNTIME),
    "holes, everything": lambda: known_holes(EVERYTHING),
}


def main(arguments: list[str]) -> int:
    verdicts = []
    for name, step in STEPS.items():
        finding = step()
        verdicts.append(finding.verdict)
        print(f"{finding.verdict.value} {name:<18} {finding.summary}", flush=True)
        for line in finding.details:
            print(f"      {line}")
    not_run = verdicts.count(Verdict.NOT_RUN)
    if Verdict.FAILED in verdicts:
        print("The audit found something.")
        return 1
    if not_run:
        print(f"Nothing was found, but {not_run} of {len(STEPS)} steps could not run: see – above.")
        return 1 if "--strict" in arguments else 0
    print("Nothing was found.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Habits of the house that no linter knows: who commits, and what money is made of."""

import ast
import asyncio
import re
import time
from pathlib import Path

import pytest
from blockbuster import BlockingError

MONEY = re.compile(r"(^|_)(amount|price|balance|commission|fee|reward|cap|payout)(s|_|$)")
INEXACT = {"float", "Decimal"}


def commits(source: str) -> list[int]:
    """Lines that end a transaction."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("commit", "rollback", "begin", "begin_nested")
    ]


def test_no_domain_ends_a_transaction(root: Path) -> None:
    """The unit of work at the edge does, once: what a service calls belongs together with what its caller does."""
    found = {
        str(path.relative_to(root)): commits(path.read_text(encoding="utf-8"))
        for path in (root / "domains").rglob("*.py")
    }
    assert len(found) > 50
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_a_commit_would_be_found() -> None:
    assert commits("async def f(session):\n    await session.commit()") == [2]
    assert commits("async def f(session):\n    await session.flush()") == []


def inexact_money(source: str) -> list[str]:
    """Names of money whose annotation says that it may be inexact, and functions of such names that return it."""
    found = []
    for node in ast.walk(ast.parse(source)):
        name, annotation = "", None
        if isinstance(node, ast.AnnAssign):
            target = node.target
            name = target.id if isinstance(target, ast.Name) else getattr(target, "attr", "")
            annotation = node.annotation
        elif isinstance(node, ast.arg):
            name, annotation = node.arg, node.annotation
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            name, annotation = node.name, node.returns
        if annotation is None or not MONEY.search(name):
            continue
        words = {part.id for part in ast.walk(annotation) if isinstance(part, ast.Name)}
        words |= {part.attr for part in ast.walk(annotation) if isinstance(part, ast.Attribute)}
        strings = [part.value for part in ast.walk(annotation) if isinstance(part, ast.Constant)]
        if words & INEXACT or any(re.search(r"\b(float|Decimal)\b", str(text)) for text in strings):
            found.append(name)
    return found


def test_money_is_never_inexact(sources: list[Path], root: Path) -> None:
    found = {str(path.relative_to(root)): inexact_money(path.read_text(encoding="utf-8")) for path in sources}
    assert {name: names for name, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "source",
    [
        "amount_minor: float = 0.0",
        "class A:\n    sale_price: Mapped[float | None]",
        "def f(balance: 'float') -> None: ...",
        "def f(*, commission: decimal.Decimal) -> None: ...",
        "async def fee_of(order: str) -> float: ...",
        "self.payout_fees: list[float] = []",
    ],
)
def test_inexact_money_would_be_found(source: str) -> None:
    assert inexact_money(source)


@pytest.mark.parametrize("source", ["amount_minor: int", "latency_ms: float", "price: Money", "coffee: float"])
def test_what_is_no_money_or_exact_passes(source: str) -> None:
    assert inexact_money(source) == []


async def test_what_blocks_the_loop_is_caught() -> None:
    with pytest.raises(BlockingError, match=r"time\.sleep"):
        time.sleep(0.001)  # noqa: ASYNC251  # what must not be done
    with pytest.raises(BlockingError):
        Path(__file__).read_text(encoding="utf-8")
    await asyncio.to_thread(time.sleep, 0.001)


def test_outside_of_a_loop_nothing_is_caught() -> None:
    time.sleep(0.001)

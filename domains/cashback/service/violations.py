"""What a check of the books finds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """`invariant` is I1 … I11; `subject` names the broken row, such as "ledger_transaction <id>"."""

    invariant: str
    subject: str
    message: str

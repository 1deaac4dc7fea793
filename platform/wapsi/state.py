"""State machines: a table of allowed moves, in one place, which refuses the others by name."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Generic, TypeVar

from wapsi.errors import PreconditionFailed

S = TypeVar("S", bound=StrEnum)


class IllegalMove(PreconditionFailed):
    reason = "ILLEGAL_STATE_CHANGE"


class StateMachine(Generic[S]):
    """`moves` lists, for each state, where it may go. A state that is absent is final."""

    def __init__(self, noun: str, moves: Mapping[S, Iterable[S]]) -> None:
        self.noun = noun
        self._moves = {state: frozenset(targets) for state, targets in moves.items()}

    def allows(self, current: S, target: S) -> bool:
        return target in self._moves.get(current, frozenset())

    def is_final(self, state: S) -> bool:
        return not self._moves.get(state)

    def check(self, current: S, target: S) -> S:
        """Returns `target`. Raises IllegalMove, saying which moves were possible."""
        if self.allows(current, target):
            return target
        possible = ", ".join(sorted(self._moves.get(current, ()))) or "none, it has ended"
        raise IllegalMove(
            f"A {self.noun} that is {current} cannot become {target}. Possible: {possible}.",
            noun=self.noun,
            current=current,
            target=target,
        )

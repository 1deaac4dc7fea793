"""A helper process that is told what to do by JSON lines, and answers each with one."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from tests.benchmarks.paths import PYTHON, ROOT


class HelperEnded(Exception):
    """It ended before it answered; why is on standard error."""


class Helper:
    """`with Helper(["tests.benchmarks.x", ...], environment) as helper: helper.ask({...})`"""

    def __init__(self, module: Sequence[str], environment: Mapping[str, str], *, own_session: bool = False) -> None:
        """With a session of its own it does not share the part of the processors that the others' session gets."""
        self._command = [PYTHON, "-m", *module]
        self._environment = environment
        self._own_session = own_session

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=dict(self._environment),
            text=True,
            start_new_session=self._own_session,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The end of its input is its end; after an error it may be in the middle of something.
        if error is not None:
            self._process.kill()
        self._process.communicate()

    def tell(self, command: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Mapping[str, Any]:
        """Waits for it. Raises HelperEnded."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise HelperEnded(f"{' '.join(self._command[1:])} ended early; what it said is above.")
        answer: Mapping[str, Any] = json.loads(line)
        return answer

    def ask(self, command: Any) -> Mapping[str, Any]:
        self.tell(command)
        return self.answer()

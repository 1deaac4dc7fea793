"""A process that gives way does so against those of other sessions too, and against its own session's alone; one that
is to answer soon asks for short turns."""

import ctypes
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from wapsi import scheduling
from wapsi.scheduling import SESSION_PRIORITY

_PROGRAM = """
import os, sys
from pathlib import Path
from wapsi.scheduling import SESSION_PRIORITY, give_way

nice, path = int(sys.argv[1]), Path(sys.argv[2])
before = os.nice(0)
give_way(nice, session_priority=path)
sessions = SESSION_PRIORITY.read_text().split() if SESSION_PRIORITY.exists() else []
print(os.nice(0) - before, *sessions[-1:])
"""

needs_session_priorities = pytest.mark.skipif(
    not SESSION_PRIORITY.exists(), reason="this kernel does not weigh sessions against each other"
)


def _lowered_by(nice: int, *, leads_its_session: bool, path: Path = SESSION_PRIORITY) -> list[str]:
    """[by how much the process was lowered, the priority of its session]

    Its session is a new one in both cases: that of the tests may be the first of the machine, which has no priority.
    """
    command = [sys.executable, "-c", _PROGRAM, str(nice), str(path)]
    if not leads_its_session:
        command = ["sh", "-c", '"$@"; exit $?', "leader", *command]
    run = subprocess.run(command, capture_output=True, text=True, check=True, start_new_session=True)
    return run.stdout.splitlines()[-1].split()


@needs_session_priorities
def test_a_process_with_a_session_of_its_own_lowers_both() -> None:
    assert _lowered_by(7, leads_its_session=True) == ["7", "7"]


@needs_session_priorities
def test_a_process_in_a_session_of_others_lowers_itself_alone() -> None:
    assert _lowered_by(7, leads_its_session=False) == ["7", "0"]


@needs_session_priorities
def test_nothing_changes_where_nothing_is_asked_for() -> None:
    assert _lowered_by(0, leads_its_session=True) == ["0", "0"]


def test_a_kernel_that_knows_no_sessions_still_lowers_the_process(tmp_path: Path) -> None:
    assert _lowered_by(7, leads_its_session=True, path=tmp_path / "missing")[0] == "7"


_TURNS_PROGRAM = """
import ctypes, os, sys
from wapsi import scheduling

def turn_ns():
    attributes = scheduling._Attributes(size=ctypes.sizeof(scheduling._Attributes))
    _, read = scheduling._CALLS[scheduling.platform.machine()]
    assert ctypes.CDLL(None).syscall(read, 0, ctypes.byref(attributes), attributes.size, 0) == 0
    return attributes.nice, attributes.policy, attributes.runtime_ns

nice = os.nice(3)
before = turn_ns()
scheduling.answer_soon()
print(*before, *turn_ns())
"""


@pytest.mark.skipif(
    platform.system() != "Linux" or platform.machine() not in scheduling._CALLS, reason="Linux alone has turns"
)
def test_who_is_to_answer_soon_gets_the_shortest_turns_and_keeps_all_else() -> None:
    run = subprocess.run([sys.executable, "-c", _TURNS_PROGRAM], capture_output=True, text=True, check=True)
    nice, policy, turn_ns, nice_then, policy_then, turn_then_ns = map(int, run.stdout.split())
    assert (nice_then, policy_then) == (nice, policy)
    if not turn_ns:
        pytest.skip("this kernel does not tell how long turns are")
    assert turn_then_ns == 100_000


@pytest.mark.parametrize(("system", "machine"), [("Darwin", "arm64"), ("Linux", "s390x")])
def test_where_turns_are_not_known_nothing_changes(monkeypatch: pytest.MonkeyPatch, system: str, machine: str) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: pytest.fail("the kernel was asked"))
    scheduling.answer_soon()

"""The supervisor: right order, restarts in words, an end in time, and nothing left behind."""

import asyncio
import itertools
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from wapsi.embedded import Child, EmbeddedError, EmbeddedPostgres, EmbeddedValkey, Event, EventKind, Supervisor
from wapsi.embedded.folders import LOG_LIMIT_BYTES
from wapsi.embedded.processes import is_alive
from wapsi.embedded.supervisor import STOP_BUDGET_S

QUICK_S = 0.02
SLEEP = "import time; time.sleep(300)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(300)"
)


@pytest.fixture
def events() -> list[Event]:
    return []


def says(path: Path, word: str) -> Callable[[], Awaitable[bool]]:
    async def ready() -> bool:
        return await asyncio.to_thread(lambda: word in path.read_text())

    return ready


async def always() -> bool:
    return True


async def never() -> bool:
    return False


def python_child(folder: Path, name: str, code: str, **options: Any) -> Child:
    options.setdefault("ready", always)
    return Child(name=name, command=[sys.executable, "-c", code], log_path=folder / f"{name}.log", **options)


async def until(condition: Callable[[], bool], timeout_s: float = 15) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in other processes
            await asyncio.sleep(0.02)


def lines(events: list[Event], *kinds: EventKind) -> list[str]:
    return [str(event) for event in events if event.kind in kinds]


async def test_children_start_in_the_order_of_their_needs_and_stop_in_reverse(
    tmp_path: Path, events: list[Event]
) -> None:
    children = [
        python_child(tmp_path, "web", SLEEP, after=("worker",)),
        python_child(tmp_path, "worker", SLEEP, after=("store",)),
        python_child(tmp_path, "store", SLEEP),
    ]
    async with Supervisor(children, events.append) as supervisor:
        assert [event.child for event in events if event.kind is EventKind.READY] == ["store", "worker", "web"]
        pids = [supervisor.pid(child.name) for child in children]
        assert all(pid is not None and is_alive(pid) for pid in pids)
    assert lines(events, EventKind.STOPPED) == ["web stopped", "worker stopped", "store stopped"]
    assert not any(pid is not None and is_alive(pid) for pid in pids)


async def test_the_next_one_waits_until_its_need_is_ready(tmp_path: Path, events: list[Event]) -> None:
    slow = "import time; print('wait', flush=True); time.sleep(0.4); print('ready', flush=True); time.sleep(300)"
    children = [
        python_child(tmp_path, "slow", slow, ready=says(tmp_path / "slow.log", "ready")),
        python_child(tmp_path, "next", SLEEP, after=("slow",)),
    ]
    async with Supervisor(children, events.append):
        kinds = [(event.child, event.kind) for event in events]
    assert kinds.index(("slow", EventKind.READY)) < kinds.index(("next", EventKind.STARTED))


async def test_a_killed_child_is_started_again_and_that_is_said(tmp_path: Path, events: list[Event]) -> None:
    async with Supervisor([python_child(tmp_path, "worker", SLEEP)], events.append) as supervisor:
        first = supervisor.pid("worker")
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: len(lines(events, EventKind.READY)) == 2)
        second = supervisor.pid("worker")
        assert second is not None
        assert second != first
        os.kill(second, signal.SIGTERM)
        await until(lambda: len(lines(events, EventKind.READY)) == 3)
    assert lines(events, EventKind.DIED) == [
        "worker died (signal 9), restarting: attempt 1",
        "worker died (signal 15), restarting: attempt 2",
    ]


async def test_restarts_come_at_growing_intervals(tmp_path: Path, events: list[Event]) -> None:
    times: list[float] = []

    def note(event: Event) -> None:
        if event.kind is EventKind.STARTED:
            times.append(time.monotonic())

    async with Supervisor([python_child(tmp_path, "brief", "pass")], note):
        await until(lambda: len(times) >= 3)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps[0] >= 0.5
    assert gaps[1] >= 1.0


async def test_what_a_dead_child_left_running_is_ended_before_the_next_one(tmp_path: Path, events: list[Event]) -> None:
    code = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)']); "
    code += "print('helper', p.pid, flush=True); p.wait()"
    log = tmp_path / "worker.log"
    child = python_child(tmp_path, "worker", code, ready=says(log, "helper"))
    async with Supervisor([child], events.append) as supervisor:
        helper = int(log.read_text().split()[1])
        main = supervisor.pid("worker")
        assert main is not None
        os.kill(main, signal.SIGKILL)
        await until(lambda: bool(lines(events, EventKind.DIED)))
        await until(lambda: not is_alive(helper), 1)


async def test_a_child_that_never_gets_ready_is_given_up_with_its_last_words(
    tmp_path: Path, events: list[Event]
) -> None:
    (tmp_path / "broken.log").write_text("words of an earlier run\n")
    broken = python_child(tmp_path, "broken", "raise SystemExit('no such table: offers')", ready=never)
    fine = python_child(tmp_path, "fine", SLEEP)
    supervisor = Supervisor([fine, broken], events.append, backoff_min_s=QUICK_S)

    with pytest.raises(EmbeddedError) as caught:
        await supervisor.start()

    message = str(caught.value)
    assert "broken ended (status 1) 5 times without becoming ready; given up" in message
    assert "no such table: offers" in message
    assert "earlier run" not in message
    assert len(lines(events, EventKind.STARTED)) == 6
    assert len(lines(events, EventKind.GAVE_UP)) == 1
    assert supervisor.pid("fine") is None, "the others are stopped as well"


async def test_one_that_ran_is_given_up_too_when_it_cannot_come_back(tmp_path: Path, events: list[Event]) -> None:
    program = tmp_path / "program.py"
    program.write_text("print('ready', flush=True); import time; time.sleep(300)")
    log = tmp_path / "worker.log"
    command = f"import runpy; runpy.run_path({str(program)!r})"
    # Not ready by what an earlier start wrote: the log is emptied with the program.
    child = python_child(tmp_path, "worker", command, ready=says(log, "ready"))
    async with Supervisor([child], events.append, backoff_min_s=QUICK_S) as supervisor:
        pid = supervisor.pid("worker")
        assert pid is not None
        program.write_text("raise SystemExit('out of order')")
        log.write_text("")
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(EmbeddedError, match=r"(?s)worker .* given up.*out of order"):
            await asyncio.wait_for(supervisor.wait(), 30)


async def test_waiting_ends_with_the_stop(tmp_path: Path, events: list[Event]) -> None:
    supervisor = Supervisor([python_child(tmp_path, "web", SLEEP)], events.append)
    await supervisor.start()
    waiting = asyncio.create_task(supervisor.wait())
    await asyncio.sleep(0)
    await supervisor.stop()
    await asyncio.wait_for(waiting, 1)


async def test_a_mistake_in_a_callback_ends_the_start_and_is_raised(tmp_path: Path) -> None:
    def broken(event: Event) -> None:
        if event.kind is EventKind.STARTED:
            raise LookupError("no such colour")

    supervisor = Supervisor([python_child(tmp_path, "web", SLEEP)], broken)
    with pytest.raises(LookupError, match="no such colour"):
        await supervisor.start()
    assert supervisor.pid("web") is None


async def test_a_program_that_is_missing_is_named(tmp_path: Path, events: list[Event]) -> None:
    child = Child(name="web", command=["/nowhere/web"], log_path=tmp_path / "web.log", ready=never)
    with pytest.raises(EmbeddedError, match=r"(?s)web .* given up.*cannot execute /nowhere/web: No such file"):
        await Supervisor([child], events.append, backoff_min_s=QUICK_S).start()


async def test_one_that_is_not_ready_in_time_is_tried_again(tmp_path: Path, events: list[Event]) -> None:
    child = python_child(tmp_path, "slow", SLEEP, ready=never, ready_timeout_s=0.2)
    with pytest.raises(EmbeddedError, match=r"slow was not ready after 0\.2 s 5 times without becoming ready"):
        await Supervisor([child], events.append, backoff_min_s=QUICK_S).start()


async def test_a_stop_takes_less_than_five_seconds_even_when_nobody_listens(
    tmp_path: Path, events: list[Event]
) -> None:
    children = [
        python_child(
            tmp_path, f"{level}{number}", STUBBORN, after=after, ready=says(tmp_path / f"{level}{number}.log", "up")
        )
        for level, after in (("low", ()), ("high", ("low1",)))
        for number in (1, 2)
    ]
    supervisor = Supervisor(children, events.append)
    await supervisor.start()
    pids = [supervisor.pid(child.name) for child in children]
    await supervisor.stop()
    assert not any(pid is not None and is_alive(pid) for pid in pids)
    killed = lines(events, EventKind.KILLED)
    assert sorted(line.split()[0] for line in killed[:2]) == ["high1", "high2"]
    assert sorted(line.split()[0] for line in killed[2:]) == ["low1", "low2"]
    assert "did not stop in 3." in killed[0], "those stopped first have the most time"
    waited_s = [float(line.split(" did not stop in ")[1].split()[0]) for line in (killed[0], killed[2])]
    assert sum(waited_s) <= STOP_BUDGET_S


async def test_a_stop_while_a_child_is_being_restarted_ends_at_once(tmp_path: Path, events: list[Event]) -> None:
    backoff_s = 8
    async with Supervisor([python_child(tmp_path, "brief", "pass")], events.append, backoff_min_s=backoff_s):
        await until(lambda: len(lines(events, EventKind.DIED)) == 1)
        started_at = time.monotonic()
    assert time.monotonic() - started_at < backoff_s


async def test_needs_that_cannot_be_met_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown children in `after`: \['nobody'\]"):
        Supervisor([python_child(tmp_path, "a", SLEEP, after=("nobody",))], print)
    circle = [python_child(tmp_path, "a", SLEEP, after=("b",)), python_child(tmp_path, "b", SLEEP, after=("a",))]
    with pytest.raises(ValueError, match="wait for each other"):
        Supervisor(circle, print)


async def test_output_goes_to_the_log_which_is_moved_away_when_large(tmp_path: Path, events: list[Event]) -> None:
    log = tmp_path / "chatty.log"
    log.write_bytes(b"old\n" * (LOG_LIMIT_BYTES // 4 + 1))
    child = python_child(tmp_path, "chatty", f"print('hello', flush=True); {SLEEP}", ready=says(log, "hello"))
    async with Supervisor([child], events.append):
        assert log.read_text() == "hello\n"
    assert (tmp_path / "chatty.log.1").stat().st_size > LOG_LIMIT_BYTES


async def test_the_terminals_interrupt_reaches_the_supervisor_alone(tmp_path: Path, events: list[Event]) -> None:
    async with Supervisor([python_child(tmp_path, "web", SLEEP)], events.append) as supervisor:
        pid = supervisor.pid("web")
        assert pid is not None
        assert os.getpgid(pid) == pid
        assert os.getsid(pid) == pid


async def test_a_killed_database_comes_back_under_the_supervisor(state_dir: Path, events: list[Event]) -> None:
    postgres = EmbeddedPostgres(state_dir)
    postgres.ensure_initialised()
    async with Supervisor([postgres.child()], events.append) as supervisor:
        await asyncio.to_thread(postgres.admin_execute, "CREATE TABLE kept AS SELECT 7 AS number;")
        pid = supervisor.pid("postgres")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: len(lines(events, EventKind.READY)) == 2)
        assert await asyncio.to_thread(postgres.admin_execute, "SELECT number FROM kept") == "7"
    assert lines(events, EventKind.DIED) == ["postgres died (signal 9), restarting: attempt 1"]
    assert lines(events, EventKind.STOPPED) == ["postgres stopped"]
    postgres.remove()


async def supervised(state_dir: Path) -> tuple[asyncio.subprocess.Process, dict[str, int]]:
    script = Path(__file__).with_name("supervise.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), str(state_dir), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    told = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
    assert [line.split()[0] for line in told["started"]][-1] == "worker"
    return process, told["pids"]


def descendants(pids: list[int]) -> list[int]:
    children = [int(child) for pid in pids for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return pids + (descendants(children) if children else [])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
async def test_kill_9_of_the_supervisor_leaves_nothing_and_the_next_one_starts(state_dir: Path) -> None:
    process, pids = await supervised(state_dir)
    everyone = descendants(list(pids.values()))
    assert len(everyone) > 6, shlex.join(map(str, everyone))
    process.kill()
    await process.wait()
    await until(lambda: not any(is_alive(pid) for pid in pids.values()), 10)

    again, new_pids = await supervised(state_dir)
    again.terminate()
    assert await asyncio.wait_for(again.wait(), 5) == 0
    assert not any(is_alive(pid) for pid in new_pids.values())
    assert not any(is_alive(pid) for pid in everyone)


async def test_a_second_one_is_told_who_runs(state_dir: Path) -> None:
    process, _ = await supervised(state_dir)
    second = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("supervise.py")),
        str(state_dir),
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await asyncio.wait_for(second.communicate(), 30)
    assert f"wapsi is already running as pid {process.pid}" in errors.decode()
    process.terminate()
    assert await asyncio.wait_for(process.wait(), 5) == 0


async def test_both_servers_stop_together_in_time(state_dir: Path, events: list[Event]) -> None:
    postgres, valkey = EmbeddedPostgres(state_dir), EmbeddedValkey(state_dir)
    postgres.ensure_initialised()
    valkey.ensure_initialised()
    async with Supervisor([postgres.child(), valkey.child()], events.append):
        assert postgres.is_ready()
        assert valkey.is_ready()
    assert len(lines(events, EventKind.STOPPED)) == 2
    postgres.remove()
    valkey.remove()

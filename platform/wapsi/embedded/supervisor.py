"""Keeps child processes running: starts them in order, restarts those that die, stops all of them in time."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Self

from wapsi.embedded.errors import EmbeddedError, explained
from wapsi.embedded.folders import open_log, rotate_log, tail_of
from wapsi.embedded.processes import RunAs, guarded

STOP_BUDGET_S = 4.7
_LEVEL_RESERVE_S = 1.0  # kept for those that are stopped later, when the earlier ones use up their time
_KILL_WAIT_S = 0.3
_BACKOFF_MAX_S = 10.0
_SETTLED_AFTER_S = 30.0
_START_ATTEMPTS_MAX = 5
_READY_POLL_S = 0.05
_LOG_CHECK_S = 60.0


@dataclass(frozen=True, slots=True)
class Child:
    """One process to keep running.

    `ready` is asked until it says True (an OSError counts as no). `after` names children that must be ready first.
    `before_start` runs in a thread before every start; an EmbeddedError of it counts as a failed start.
    """

    name: str
    command: Sequence[str]
    log_path: Path
    ready: Callable[[], Awaitable[bool]]
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    run_as: RunAs | None = None
    after: tuple[str, ...] = ()
    before_start: Callable[[], None] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    kill_signal: signal.Signals = signal.SIGKILL
    stop_timeout_s: float = 4.0
    ready_timeout_s: float = 60.0


class EventKind(Enum):
    STARTED = auto()
    READY = auto()
    DIED = auto()
    GAVE_UP = auto()
    STOPPED = auto()
    KILLED = auto()


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to a child; `str()` is a line for a person. `attempt` counts restarts since it last settled."""

    kind: EventKind
    child: str
    text: str
    pid: int | None = None
    attempt: int = 0

    def __str__(self) -> str:
        return f"{self.child} {self.text}"


class _Slot:
    """A child's present state."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.process: asyncio.subprocess.Process | None = None
        self.log_start = 0
        self.is_ready = asyncio.Event()
        self.attempt = 0
        self.failed_starts = 0
        self.last_error: EmbeddedError | None = None

    def settle(self, ran_s: float) -> None:
        """Counts a death: a child that ran for a while starts anew, one that never got ready comes nearer its end."""
        was_ready = self.is_ready.is_set()
        self.is_ready.clear()
        if ran_s >= _SETTLED_AFTER_S and was_ready:
            self.attempt = 0
        self.failed_starts = 0 if was_ready else self.failed_starts + 1
        self.attempt += 1


class Supervisor:
    """Runs children; every change is told to `on_event`. Enter it, `wait()` for as long as it should run, leave it.

    Children get sessions of their own, so that a terminal's Ctrl-C reaches the supervisor alone, and on Linux the
    kernel sends them their stop signal when the supervisor dies, even of SIGKILL. Call it from the main thread.
    """

    def __init__(
        self, children: Sequence[Child], on_event: Callable[[Event], None], *, backoff_min_s: float = 0.5
    ) -> None:
        self._slots = {child.name: _Slot(child) for child in children}
        self._levels = _levels(children)
        self._tell = on_event
        self._backoff_min_s = backoff_min_s
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def pid(self, name: str) -> int | None:
        """A child's process id while it runs."""
        process = self._slots[name].process
        return process.pid if process is not None and process.returncode is None else None

    def is_ready(self, name: str) -> bool:
        return self._slots[name].is_ready.is_set()

    async def start(self) -> None:
        """Returns when all children are ready. Raises EmbeddedError, with all stopped again, when one cannot be."""
        try:
            for level in self._levels:
                slots = [self._slots[name] for name in level]
                self._tasks += [asyncio.create_task(self._keep(slot), name=f"keep {slot.child.name}") for slot in slots]
                await self._until_ready(slots)
            self._tasks.append(asyncio.create_task(self._rotate_logs(), name="rotate logs"))
        except BaseException:
            await self.stop()
            raise

    async def wait(self) -> None:
        """Until `stop`; raises EmbeddedError with its last log lines when a child is given up before."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        _raise_from(done)

    async def stop(self) -> None:
        """Stops those that depend on others first; all have ended after 5 seconds."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        deadline = time.monotonic() + STOP_BUDGET_S
        for left in range(len(self._levels), 0, -1):
            share_s = deadline - time.monotonic() - (left - 1) * _LEVEL_RESERVE_S - _KILL_WAIT_S
            slots = [self._slots[name] for name in self._levels[left - 1]]
            await asyncio.gather(*(self._end(slot, max(share_s, 0)) for slot in slots))

    async def _until_ready(self, slots: list[_Slot]) -> None:
        """Raises EmbeddedError when a child, of these or of those before, is given up first."""
        waiting = asyncio.create_task(_all_ready(slots))
        try:
            done, _ = await asyncio.wait([waiting, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
            _raise_from(done)
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    async def _keep(self, slot: _Slot) -> None:
        """Starts it again and again; raises EmbeddedError when that is hopeless."""
        while True:
            started_at = time.monotonic()
            try:
                slot.last_error = None
                await self._spawn(slot)
                how = await self._watch(slot)
            except EmbeddedError as error:
                slot.last_error = error
                how = "could not be started"
            slot.settle(time.monotonic() - started_at)
            if slot.failed_starts >= _START_ATTEMPTS_MAX:
                raise self._gave_up(slot, how)
            text = f"{how}, restarting: attempt {slot.attempt}"
            self._tell(Event(EventKind.DIED, slot.child.name, text, attempt=slot.attempt))
            await asyncio.sleep(min(self._backoff_min_s * 2 ** (slot.attempt - 1), _BACKOFF_MAX_S))

    async def _spawn(self, slot: _Slot) -> None:
        child = slot.child
        if child.before_start is not None:
            await asyncio.to_thread(child.before_start)
        log = await asyncio.to_thread(open_log, child.log_path)
        try:
            slot.log_start = os.fstat(log).st_size
            slot.process = await asyncio.create_subprocess_exec(
                *guarded(child.command, run_as=child.run_as, death_signal=child.stop_signal),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=child.env,
                cwd=child.cwd,
                start_new_session=True,
            )
        except OSError as error:
            raise explained(f"Could not start {child.name} ({child.command[0]}).", str(error)) from error
        finally:
            os.close(log)
        self._tell(Event(EventKind.STARTED, child.name, "started", pid=slot.process.pid, attempt=slot.attempt))

    async def _watch(self, slot: _Slot) -> str:
        """Until the child's end; how it ended, in words."""
        process = slot.process
        assert process is not None
        started_at = time.monotonic()
        ended = asyncio.ensure_future(process.wait())
        try:
            while not ended.done():
                if await _is_ready(slot.child):
                    slot.is_ready.set()
                    took_s = time.monotonic() - started_at
                    self._tell(Event(EventKind.READY, slot.child.name, f"ready after {took_s:.1f} s", pid=process.pid))
                    break
                if time.monotonic() - started_at > slot.child.ready_timeout_s:
                    await self._end(slot, 1.0, quietly=True)
                    return f"was not ready after {slot.child.ready_timeout_s:g} s"
                await asyncio.wait([ended], timeout=_READY_POLL_S)
            await ended
        finally:
            ended.cancel()
        _kill_group(process.pid)
        return _ending(process.returncode)

    async def _end(self, slot: _Slot, share_s: float, *, quietly: bool = False) -> None:
        process, child = slot.process, slot.child
        slot.is_ready.clear()
        if process is None:
            return
        kind, text = EventKind.STOPPED, "stopped"
        steps = (
            (child.stop_signal, min(child.stop_timeout_s, share_s)),
            (child.kill_signal, _KILL_WAIT_S if child.kill_signal is not signal.SIGKILL else 0.0),
            (signal.SIGKILL, None),
        )
        was_running = process.returncode is None
        for number, wait_s in steps:
            if process.returncode is not None:
                break
            if number is not child.stop_signal:
                kind, text = EventKind.KILLED, f"did not stop in {min(child.stop_timeout_s, share_s):.1f} s: killed"
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), wait_s)
        _kill_group(process.pid)
        if was_running and not quietly:
            self._tell(Event(kind, child.name, text, pid=process.pid))

    def _gave_up(self, slot: _Slot, how: str) -> EmbeddedError:
        child = slot.child
        message = f"{child.name} {how} {slot.failed_starts} times without becoming ready; given up"
        if slot.last_error is not None:
            error = EmbeddedError(f"{message}. {slot.last_error}")
        else:
            error = explained(f"{message}. Its last words ({child.log_path}):", tail_of(child.log_path, slot.log_start))
        self._tell(Event(EventKind.GAVE_UP, child.name, str(error).removeprefix(f"{child.name} ")))
        return error

    async def _rotate_logs(self) -> None:
        while True:
            await asyncio.sleep(_LOG_CHECK_S)
            for slot in self._slots.values():
                with contextlib.suppress(EmbeddedError):  # a log that cannot be rotated is no reason to stop
                    await asyncio.to_thread(rotate_log, slot.child.log_path)


def _levels(children: Sequence[Child]) -> list[list[str]]:
    """Names in the order of starting; those of one level do not depend on each other."""
    left = {child.name: set(child.after) for child in children}
    if unknown := set().union(*left.values()) - set(left):
        raise ValueError(f"unknown children in `after`: {sorted(unknown)}")
    levels: list[list[str]] = []
    while left:
        level = [name for name, needs in left.items() if not needs & left.keys()]
        if not level:
            raise ValueError(f"these children wait for each other: {sorted(left)}")
        levels.append(level)
        for name in level:
            del left[name]
    return levels


async def _all_ready(slots: list[_Slot]) -> None:
    for slot in slots:
        await slot.is_ready.wait()


def _raise_from(done: set[asyncio.Task[None]]) -> None:
    for task in done:
        if not task.cancelled():
            task.result()


async def _is_ready(child: Child) -> bool:
    try:
        return await child.ready()
    except OSError:
        return False


def _kill_group(pid: int) -> None:
    """What a child started and left behind must not meet its successor."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _ending(returncode: int | None) -> str:
    if returncode is not None and returncode < 0:
        return f"died (signal {-returncode})"
    return f"ended (status {returncode})"

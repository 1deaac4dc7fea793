"""The embedded queue server: private, durable, one at a time."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import dramatiq
import pytest
import redis
from dramatiq.brokers.redis import RedisBroker

from wapsi.embedded import EmbeddedError, EmbeddedValkey
from wapsi.embedded.processes import processes_in

Make = Callable[..., EmbeddedValkey]


@pytest.fixture
def make(state_dir: Path, notices: list[str]) -> Iterator[Make]:
    made: list[EmbeddedValkey] = []

    def make(folder: Path = state_dir, *, persist: bool = True, port: int | None = None) -> EmbeddedValkey:
        made.append(EmbeddedValkey(folder, persist=persist, port=port, on_notice=notices.append))
        return made[-1]

    yield make
    for server in made:
        server.remove()


def client(server: EmbeddedValkey) -> redis.Redis:
    return redis.Redis.from_url(server.url(), decode_responses=True)


def test_it_answers_on_a_private_socket_and_never_evicts(make: Make) -> None:
    server = make()
    server.start()
    with client(server) as connection:
        assert connection.ping()
        assert connection.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert connection.config_get("port") == {"port": "0"}
    assert server.socket_path.stat().st_mode & 0o777 == 0o700
    assert server.socket_path.parent.stat().st_mode & 0o777 == 0o700


def test_dramatiq_queues_over_the_socket(make: Make) -> None:
    server = make(persist=False)
    server.start()
    broker = RedisBroker(client=redis.Redis.from_url(server.url()), middleware=[])  # type: ignore[no-untyped-call]
    broker.declare_queue("default")
    broker.enqueue(dramatiq.Message(queue_name="default", actor_name="f", args=(1,), kwargs={}, options={}))
    message = next(broker.consume("default", timeout=1000))
    broker.close()
    assert message is not None
    assert message.args == (1,)


def test_what_was_acknowledged_survives_a_kill(make: Make) -> None:
    server = make()
    server.start()
    with client(server) as connection:
        for number in range(500):
            connection.rpush("kept", number)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    server.stop()

    server.start()

    with client(server) as connection:
        assert connection.llen("kept") == 500


def test_without_persistence_nothing_is_written(make: Make) -> None:
    server = make(persist=False)
    server.start()
    with client(server) as connection:
        connection.set("a", "b")
    server.stop()
    assert list(server.data_dir.iterdir()) == []


def test_two_cannot_use_one_append_only_file(make: Make) -> None:
    make().start()
    with pytest.raises(EmbeddedError, match=f"is in use: by wapsi running as pid {os.getpid()}"):
        make().start()


def test_a_server_that_outlived_its_supervisor_is_stopped_first(make: Make, notices: list[str]) -> None:
    outlived = make()
    outlived.start()
    outlived.close()  # the lock goes with its process; the server stays

    fresh = make()
    fresh.start()

    assert outlived.pid is None
    assert processes_in(fresh.data_dir) == [fresh.pid]
    assert any("that an earlier run left behind (pid " in notice for notice in notices)


def test_a_damaged_file_is_explained(make: Make) -> None:
    server = make()
    server.start()
    with client(server) as connection:
        connection.set("a", "b" * 1000)
    server.stop()
    (file,) = server.data_dir.glob("**/*.incr.aof")
    file.write_bytes(b"*3\r\nnonsense" + file.read_bytes())

    with pytest.raises(EmbeddedError, match=r"(?s)Valkey did not start:.*The queue's file is damaged"):
        server.start()


def test_a_file_cut_off_by_a_crash_is_read_as_far_as_it_goes(make: Make) -> None:
    server = make()
    server.start()
    with client(server) as connection:
        connection.set("first", "1")
        connection.set("second", "2")
    server.stop()
    (file,) = server.data_dir.glob("**/*.incr.aof")
    os.truncate(file, file.stat().st_size - 4)

    server.start()

    with client(server) as connection:
        assert connection.get("first") == "1"
        assert connection.get("second") is None


def test_it_listens_on_a_port_of_this_machine_when_asked_to(make: Make) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    make(persist=False, port=port).start()
    with redis.Redis(host="127.0.0.1", port=port) as connection:
        assert connection.ping()


def test_a_long_or_odd_path_works(make: Make, state_dir: Path) -> None:
    server = make(state_dir / "a b,c?d%e" / ("long" * 40))
    server.start()
    with client(server) as connection:
        assert connection.ping()


def test_removing_it_leaves_no_data(make: Make, state_dir: Path) -> None:
    server = make()
    server.start()
    server.remove()
    assert not server.socket_path.parent.exists()
    assert not (state_dir / "valkey").exists()

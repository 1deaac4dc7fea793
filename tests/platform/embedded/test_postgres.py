"""The embedded database: starts anywhere, loses nothing that was committed, repairs what a crash left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from wapsi.embedded import EmbeddedError, EmbeddedPostgres
from wapsi.embedded.folders import require_free_space
from wapsi.embedded.placement import place
from wapsi.embedded.processes import end, guarded, is_alive, processes_in

AS_ROOT = os.geteuid() == 0
Make = Callable[..., EmbeddedPostgres]


@pytest.fixture
def make(state_dir: Path, notices: list[str]) -> Iterator[Make]:
    made: list[EmbeddedPostgres] = []

    def make(folder: Path = state_dir, *, durable: bool = False) -> EmbeddedPostgres:
        made.append(EmbeddedPostgres(folder, durable=durable, on_notice=notices.append))
        return made[-1]

    yield make
    for server in made:
        server.remove()


def kill(server: EmbeddedPostgres) -> None:
    """As kill -9 does; gives up the lock, as the end of our own process would."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    server.stop()


async def test_the_first_start_makes_a_utf8_database_that_sqlalchemy_reaches(make: Make) -> None:
    server = make(durable=True)
    server.start()
    assert server.ensure_database("wapsi") is True
    assert server.ensure_database("wapsi") is False

    engine = create_async_engine(server.url("wapsi"))
    async with engine.connect() as connection:
        row = (await connection.execute(text("SELECT current_database(), upper('ß'), lower('ÄÖ')"))).one()
    await engine.dispose()

    assert tuple(row) == ("wapsi", "ß", "äö")
    assert server.admin_execute("SHOW fsync; SHOW server_encoding; SHOW timezone;") == "on\nUTF8\nUTC"


def test_only_its_own_user_can_open_the_socket_and_nothing_listens_on_a_port(make: Make) -> None:
    server = make()
    server.start()
    assert server.socket_dir.stat().st_mode & 0o777 == 0o700
    assert server.data_dir.stat().st_mode & 0o777 == 0o700
    assert server.admin_execute("SHOW listen_addresses") == ""


def test_a_second_start_finds_what_the_first_one_stored(make: Make) -> None:
    server = make()
    server.start()
    server.admin_execute("CREATE TABLE kept AS SELECT 7 AS number;")
    server.stop()
    assert server.pid is None

    server.start()
    assert server.admin_execute("SELECT number FROM kept") == "7"


def test_committed_rows_survive_a_kill_of_the_server(make: Make, notices: list[str]) -> None:
    server = make(durable=True)
    server.start()
    server.admin_execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number;")
    kill(server)

    server.start()

    assert server.admin_execute("SELECT count(*) FROM kept") == "1000"
    assert any("recovers from its log" in notice for notice in notices)


def test_a_stale_pid_file_is_no_obstacle_even_when_its_number_was_given_to_another_process(make: Make) -> None:
    server = make()
    server.start()
    kill(server)
    run_as = place(server.data_dir.parent, durable=False).run_as
    stranger = subprocess.Popen(guarded(["/bin/sleep", "60"], run_as=run_as))
    try:
        note = server.data_dir / "postmaster.pid"
        lines = note.read_text().splitlines()
        note.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")

        server.start()

        assert server.admin_execute("SELECT 1") == "1"
        assert is_alive(stranger.pid)
    finally:
        stranger.kill()
        stranger.wait()


def test_a_server_that_outlived_its_supervisor_is_stopped_first(make: Make, notices: list[str]) -> None:
    outlived = make()
    outlived.start()
    outlived.close()  # the lock goes with its process; the server stays

    fresh = make()
    fresh.start()

    assert outlived.pid is None
    assert fresh.admin_execute("SELECT 1") == "1"
    assert any("that an earlier run left behind (pid " in notice for notice in notices)


def test_a_first_start_that_was_killed_halfway_is_made_again(make: Make, state_dir: Path, notices: list[str]) -> None:
    script = "import sys; from pathlib import Path; from wapsi.embedded import EmbeddedPostgres; "
    script += "EmbeddedPostgres(Path(sys.argv[1])).ensure_initialised()"
    victim = subprocess.Popen([sys.executable, "-c", script, str(state_dir)])
    unfinished = state_dir / "postgres" / "data.unfinished"
    deadline = time.monotonic() + 20
    while not (unfinished / "global").exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    victim.kill()
    victim.wait()
    assert not (state_dir / "postgres" / "data").exists()

    server = make()
    server.start()

    assert server.admin_execute("SELECT 1") == "1"
    assert not unfinished.exists()
    assert any("first start was interrupted" in notice for notice in notices)


def test_a_data_folder_with_parts_missing_is_kept_aside(make: Make, state_dir: Path, notices: list[str]) -> None:
    damaged = state_dir / "postgres" / "data"
    damaged.mkdir(parents=True)
    (damaged.parent).chmod(0o711)
    (damaged / "somebodys.file").write_text("precious")

    server = make()
    server.start()

    assert server.admin_execute("SELECT 1") == "1"
    assert [file.read_text() for file in damaged.parent.glob("data.damaged-*/somebodys.file")] == ["precious"]
    assert any("is kept as" in notice for notice in notices)


def test_data_of_another_major_version_is_refused_in_words(make: Make) -> None:
    server = make()
    server.ensure_initialised()
    server.close()
    (server.data_dir / "PG_VERSION").write_text("17\n")

    with pytest.raises(EmbeddedError, match=r"made by PostgreSQL 17, and this is 18\. Dump it with 17"):
        server.start()


def test_two_cannot_use_one_database(make: Make) -> None:
    make().start()
    with pytest.raises(EmbeddedError, match=f"is in use: by wapsi running as pid {os.getpid()}"):
        make().start()


def test_a_long_or_odd_path_works(make: Make, state_dir: Path) -> None:
    server = make(state_dir / "a b,c?d%e" / ("long" * 40))
    server.start()
    assert server.admin_execute("SELECT 1") == "1"
    assert len(str(server.socket_dir / ".s.PGSQL.5432")) < 100


async def test_the_persons_own_postgres_variables_change_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PGPORT": "5999", "PGHOST": "nowhere.invalid", "PGDATA": "/nowhere", "PGUSER": "x"}.items():
        monkeypatch.setenv(name, value)
    server = make()
    server.start()
    assert server.admin_execute("SELECT 1") == "1"
    engine = create_async_engine(server.url("postgres"))
    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT current_user"))).scalar_one() == "postgres"
    await engine.dispose()


def test_names_are_quoted_in_sql_and_in_urls(make: Make) -> None:
    server = make()
    server.start()
    server.ensure_database('it\'s a "name"; --')
    assert server.admin_execute("SELECT current_database()", database='it\'s a "name"; --') == 'it\'s a "name"; --'
    assert server.url("a/b?c", user="x@y").startswith("postgresql+asyncpg://x%40y@/a%2Fb%3Fc?host=/")


def test_sql_that_fails_says_why(make: Make) -> None:
    server = make()
    server.start()
    with pytest.raises(EmbeddedError, match='relation "nothing" does not exist'):
        server.admin_execute("SELECT * FROM nothing;")


def test_a_server_that_cannot_start_shows_its_own_last_words_and_gives_up_the_lock(make: Make) -> None:
    server = make()
    server.ensure_initialised()
    (server.data_dir / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(EmbeddedError, match=r"(?s)PostgreSQL did not start:.*no_such_setting"):
        server.start()
    assert server.pid is None
    make().ensure_initialised()


def test_too_little_space_is_refused_with_the_place_named(state_dir: Path) -> None:
    with pytest.raises(EmbeddedError, match=rf"MB are free at {state_dir.parent}, and at least 10000000 MB are needed"):
        require_free_space(state_dir.parent, minimum_bytes=10_000_000 * 2**20)


def test_a_stop_is_quick_and_leaves_no_process(make: Make) -> None:
    server = make()
    server.start()
    started_at = time.monotonic()
    server.stop()
    assert time.monotonic() - started_at < 5, "by force"
    assert processes_in(server.data_dir) == []


def test_removing_it_leaves_no_data(make: Make, state_dir: Path) -> None:
    server = make()
    server.start()
    data, socket = server.data_dir, server.socket_dir
    server.remove()
    assert not data.exists()
    assert not socket.exists()
    assert not (state_dir / "postgres").exists()


@pytest.mark.skipif(AS_ROOT, reason="root is not held by modes")
def test_a_folder_that_cannot_be_written_is_refused_in_words(make: Make, state_dir: Path) -> None:
    state_dir.mkdir()
    state_dir.chmod(0o500)
    with pytest.raises(EmbeddedError, match=r"(?s)Could not make the folder .* owner or mode does not allow it"):
        make().start()


@pytest.mark.skipif(not AS_ROOT, reason="only root has to start it as another user")
def test_below_a_folder_of_roots_own_the_data_lies_elsewhere_and_follows_the_state_folder(
    make: Make, state_dir: Path, notices: list[str]
) -> None:
    closed = state_dir / "closed"
    closed.mkdir(parents=True)
    closed.chmod(0o700)
    first = make(closed, durable=True)
    first.start()
    first.admin_execute("CREATE TABLE kept AS SELECT 7 AS number;")
    assert not first.data_dir.is_relative_to(closed)
    assert any(f"cannot get into {closed}" in notice and str(first.data_dir.parent) in notice for notice in notices)
    first.stop()

    again = make(closed, durable=True)
    again.start()
    assert again.admin_execute("SELECT number FROM kept") == "7"
    again.stop()

    (closed / "postgres" / "number").unlink()  # as a new state folder at the same place
    fresh = make(closed, durable=True)
    fresh.start()
    assert fresh.data_dir != first.data_dir
    assert fresh.admin_execute("SELECT to_regclass('kept') IS NULL") == "t"


def test_it_ends_with_the_process_that_started_it(make: Make, state_dir: Path) -> None:
    script = "import sys, time; from pathlib import Path; from wapsi.embedded import EmbeddedPostgres; "
    script += (
        "p = EmbeddedPostgres(Path(sys.argv[1]), durable=False); p.start(); print(p.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(state_dir)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        pid = int(parent.stdout.readline())
    assert is_alive(pid)
    parent.kill()
    parent.wait()
    assert end([pid], (0, 5))
    assert not (state_dir / "postgres" / "data" / "postmaster.pid").exists()  # it ended cleanly

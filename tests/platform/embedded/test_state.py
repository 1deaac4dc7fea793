"""The state folder: one user at a time, secrets nobody else can read, ports in words."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from wapsi.embedded import EmbeddedError, StateFolder, ensure_port_free, load_or_create_secret
from wapsi.embedded.folders import FolderLock, open_log, rotate_log, tail_of


def test_the_folder_is_made_with_its_parts(tmp_path: Path) -> None:
    with StateFolder(tmp_path / "deep" / ".wapsi") as state:
        assert state.logs.is_dir()
        assert state.secrets.stat().st_mode & 0o777 == 0o700
        assert state.path.stat().st_mode & 0o066 == 0
        assert (state.path / "lock").read_text().strip() == str(os.getpid())


def test_a_second_user_is_told_who_has_it(tmp_path: Path) -> None:
    with (
        StateFolder(tmp_path / "s"),
        pytest.raises(EmbeddedError, match=f"wapsi is already running as pid {os.getpid()}"),
        StateFolder(tmp_path / "s"),
    ):
        pass


def test_it_can_be_used_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with StateFolder(tmp_path / "s"):
            pass


def test_the_lock_of_a_killed_process_is_no_obstacle(tmp_path: Path) -> None:
    script = "import sys, time; from pathlib import Path; from wapsi.embedded import StateFolder; "
    script += "StateFolder(Path(sys.argv[1])).__enter__(); print('held', flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "s")], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    with holder.stdout:
        assert holder.stdout.readline() == b"held\n"
    with pytest.raises(EmbeddedError, match=f"already running as pid {holder.pid}"), StateFolder(tmp_path / "s"):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with StateFolder(tmp_path / "s") as state:
        assert (state.path / "lock").read_text().strip() == str(os.getpid())


def test_a_lock_is_not_handed_on_to_children(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "lock", "in use").acquire()
    script = "import time; print('up', flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", script], close_fds=False, stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == b"up\n"
    try:
        lock.release()
        FolderLock(tmp_path / "lock", "in use").acquire().release()
    finally:
        child.kill()
        child.wait()


def test_a_file_in_the_place_of_the_folder_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("")
    with (
        pytest.raises(EmbeddedError, match=r"Could not use the state folder .*/s\.\n  File exists"),
        StateFolder(tmp_path / "s"),
    ):
        pass


def test_a_secret_is_made_once_and_read_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "key"
    assert load_or_create_secret(path, lambda: "first") == "first"
    assert load_or_create_secret(path, lambda: "second") == "first"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("known to all")
    path.chmod(0o644)
    with pytest.raises(EmbeddedError, match=r"others can read it \(mode 0644\): `chmod 600") as caught:
        load_or_create_secret(path, lambda: "x")
    assert "known to all" not in str(caught.value)


def test_an_empty_secret_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.touch(mode=0o600)
    with pytest.raises(EmbeddedError, match="is empty: remove it"):
        load_or_create_secret(path, lambda: "x")


def test_a_free_port_passes() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ensure_port_free(port, "WAPSI_HTTP_PORT")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_taken_port_is_named_with_its_holder_and_the_setting(host: str) -> None:
    with socket.socket() as holder:
        holder.bind((host, 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(EmbeddedError) as caught:
            ensure_port_free(port, "WAPSI_HTTP_PORT")
    message = str(caught.value)
    assert message.startswith(f"Port {port} is taken by ")
    assert "Set WAPSI_HTTP_PORT to another port, or end that process." in message
    if sys.platform == "linux":
        assert f"pid {os.getpid()} (" in message


def test_a_port_that_is_about_to_be_left_is_waited_for() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        leaving = threading.Timer(0.3, holder.close)
        leaving.start()
        ensure_port_free(port, "WAPSI_HTTP_PORT", patience_s=10)
        leaving.join()


def test_an_address_that_is_not_ours_is_said() -> None:
    with pytest.raises(EmbeddedError, match=r"192\.0\.2\.1:8000 cannot be listened on: .* Set WAPSI_HTTP_PORT"):
        ensure_port_free(8000, "WAPSI_HTTP_PORT", host="192.0.2.1")


def test_a_log_is_moved_away_when_large_and_its_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    descriptor = open_log(path)
    os.write(descriptor, b"x" * 100)
    rotate_log(path, limit_bytes=100)
    assert not (tmp_path / "a.log.1").exists()
    os.write(descriptor, b"y")
    rotate_log(path, limit_bytes=100)
    os.write(descriptor, b"after\n")
    os.close(descriptor)
    assert (tmp_path / "a.log.1").read_bytes() == b"x" * 100 + b"y"
    assert path.read_bytes() == b"after\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_tail_of_a_log_begins_where_it_is_told_to(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("old\n" + "".join(f"line {number}\n" for number in range(100)))
    assert tail_of(path, lines=2) == "line 98\nline 99"
    assert tail_of(path, start=path.stat().st_size) == ""
    assert tail_of(tmp_path / "missing.log") == ""

"""The generated code is what the protos say, and the protos are what buf asks for."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


def generate(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "protos/generate.py", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def generated(folder: Path) -> dict[str, str]:
    files = [path for path in (folder / "wapsi" / "rpc").rglob("*_pb2*") if path.suffix in (".py", ".pyi")]
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in files}


@pytest.fixture
def copy(copy_to: Callable[[Path], Path], tmp_path: Path) -> Path:
    return copy_to(tmp_path)


def change(proto: Path, old: str, new: str) -> None:
    text = proto.read_text(encoding="utf-8")
    assert old in text
    proto.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_committed_code_is_what_the_protos_say(root: Path, tmp_path: Path) -> None:
    done = generate(root, str(tmp_path))
    assert done.returncode == 0, done.stderr
    fresh = generated(tmp_path)
    assert len(fresh) >= 12
    assert generated(root / "platform") == fresh


def test_a_changed_proto_is_noticed(copy: Path, tmp_path: Path) -> None:
    proto = copy / "protos" / "wapsi" / "rpc" / "merchants" / "v1" / "merchant.proto"
    change(proto, "string slug = ", "string shop_slug = ")
    generate(copy, str(tmp_path / "fresh"))
    committed, fresh = generated(copy / "platform"), generated(tmp_path / "fresh")
    changed = {name for name in committed | fresh if committed.get(name) != fresh.get(name)}
    assert changed >= {"wapsi/rpc/merchants/v1/merchant_pb2.py", "wapsi/rpc/merchants/v1/merchant_pb2.pyi"}


def test_buf_has_nothing_to_say(root: Path) -> None:
    done = generate(root, "--lint")
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("rpc GetMerchant(GetMerchantRequest)", "rpc getMerchant(GetMerchantRequest)", "PascalCase"),
        ("string slug = ", "string shopSlug = ", "lower_snake_case"),
        ("MERCHANT_STATE_UNSPECIFIED = 0", "MERCHANT_STATE_DRAFT_OLD = 0", "_UNSPECIFIED"),
    ],
)
def test_buf_complains_of_what_is_not_our_style(copy: Path, old: str, new: str, complaint: str) -> None:
    change(copy / "protos" / "wapsi" / "rpc" / "merchants" / "v1" / "merchant.proto", old, new)
    done = generate(copy, "--lint")
    assert done.returncode != 0
    assert complaint in done.stdout + done.stderr

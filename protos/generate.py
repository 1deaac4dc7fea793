"""Generates the Python code of all protos into platform/wapsi/rpc, and lints them with buf.

    python protos/generate.py [OUT]     generate (OUT defaults to platform/)
    python protos/generate.py --lint    buf lint

buf is given a descriptor set that protoc made, because it resolves imports outside this folder
(google/rpc/status.proto) only over the network.
"""

import importlib.util
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

PROTOS = Path(__file__).resolve().parent
ROOT = PROTOS.parent


def _files() -> list[str]:
    return sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))


def _protoc(*args: str) -> None:
    tools = importlib.util.find_spec("grpc_tools")
    common = importlib.util.find_spec("google.rpc")
    assert tools is not None
    assert tools.submodule_search_locations
    assert common is not None
    well_known = Path(tools.submodule_search_locations[0]) / "_proto"
    googleapis = Path(next(iter(common.submodule_search_locations or []))).parent.parent
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}", f"-I{well_known}", f"-I{googleapis}"]
    # The mypy plugin is a script of this interpreter's environment, which need not be on PATH.
    plugin = f"--plugin=protoc-gen-mypy_grpc={_script('protoc-gen-mypy_grpc')}"
    subprocess.run([*command, plugin, *args, *_files()], check=True, cwd=PROTOS)


def _script(name: str) -> str:
    return str(Path(sysconfig.get_path("scripts")) / name)


def generate(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    _protoc(f"--python_out={out}", f"--pyi_out={out}", f"--grpc_python_out={out}", f"--mypy_grpc_out={out}")


def lint() -> int:
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "protos.binpb"
        _protoc("--include_imports", "--include_source_info", f"--descriptor_set_out={image}")
        config = str(PROTOS / "buf.yaml")
        return subprocess.run([_script("buf"), "lint", str(image), "--config", config], check=False).returncode


if __name__ == "__main__":
    if sys.argv[1:] == ["--lint"]:
        sys.exit(lint())
    generate(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / "platform")

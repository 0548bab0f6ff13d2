"""Builds what the functions carry: `python -m watchkeeper_infra.build [FOLDER]`, or `make bundles`.

One small zip has the code and the knowledge base, and one for each kind of function its packages, as a layer: those
change with the lock file only. They are for Lambda's machine (arm64, Python 3.13), whatever machine this one is.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from watchkeeper_infra.archive import is_needed, is_no_cache, write_archive
from watchkeeper_infra.bundles import CODE, LAYERS
from watchkeeper_infra.lockfile import read_lock, subset

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parents[2]
PLATFORM, PYTHON = "aarch64-manylinux_2_28", "3.13"
BOTO = ("boto3", "botocore", "s3transfer")  # Lambda's runtime has them
OPENAI, SKLEARN, FASTAPI = "openai", "scikit-learn", "fastapi"
WITHOUT = {
    "stream": (*BOTO, OPENAI, SKLEARN, FASTAPI),
    "explain": (*BOTO, SKLEARN, FASTAPI),
    "web": (*BOTO, OPENAI, SKLEARN),
    "train": (*BOTO, OPENAI, FASTAPI),
}
"""Direct dependencies that the functions of a kind do not carry."""
OF_LAYERS = "python/"  # where Lambda looks in a layer
OUR_CODE = ("shared", "functions")
NOT_OURS = ("watchkeeper_local", "watchkeeper_client", "watchkeeper_azure")
MB = 1_000_000
LIMIT_MB = {"stream": 90, "explain": 250, "web": 250, "train": 250}
"""What code and layer of a kind may be together when unpacked; Lambda's own limit is 250."""


class Built(NamedTuple):
    """A zip that was made, and the bytes that are in it."""

    path: Path
    size: int


def build_all(folder: Path) -> dict[str, Built]:
    """Build the code and all layers. RuntimeError: what uv says, or a bundle that is larger than it may be."""
    built = {CODE: build_code(folder)}
    for name in LAYERS:
        built[name] = build_layer(name, folder)
        size = built[name].size + built[CODE].size
        if size > LIMIT_MB[name] * MB:
            message = f"{name}: {size / MB:.1f} MB unpacked, and it may have {LIMIT_MB[name]}"
            raise RuntimeError(message)
    return built


def build_code(folder: Path) -> Built:
    """Our own packages and the knowledge base."""
    path = folder / f"{CODE}.zip"
    return Built(path, write_archive(path, _our_folders(), is_no_cache))


def build_layer(name: str, folder: Path, platform: str = PLATFORM, python: str = PYTHON) -> Built:
    """The packages of one kind of function, from the lock file; for another machine than Lambda's if one is named."""
    locked = subset(read_lock((ROOT / "requirements" / "aws.txt").read_text("utf-8")), WITHOUT[name])
    path = folder / f"{name}.zip"
    with tempfile.TemporaryDirectory() as place:
        _install(locked, Path(place), platform, python)
        return Built(path, write_archive(path, [(Path(place) / "packages", OF_LAYERS)], is_needed))


def _install(locked: str, place: Path, platform: str, python: str) -> None:
    (place / "requirements.txt").write_text(locked, "utf-8")
    command = [
        *_uv(), "pip", "install", "--quiet", "--target", str(place / "packages"), "--python-platform", platform,
        "--python-version", python, "--only-binary", ":all:", "--no-deps", "--require-hashes",
        "-r", str(place / "requirements.txt"),
    ]  # fmt: skip
    done = subprocess.run(command, text=True, capture_output=True, check=False)  # noqa: S603 - our own uv
    if done.returncode:
        message = f"the packages cannot be had for {platform}: {done.stderr.strip()[-2000:]}"
        raise RuntimeError(message)


def _uv() -> Sequence[str]:
    return [str(Path(sys.executable).parent / "uv"), "--no-config"]


def _our_folders() -> Iterator[tuple[Path, str]]:
    for folder in OUR_CODE:
        for package in sorted((ROOT / folder).glob("watchkeeper*")):
            if package.is_dir() and package.name not in NOT_OURS:
                yield package, f"{package.name}/"
    yield ROOT / "knowledge_base", "knowledge_base/"


def main(arguments: Sequence[str]) -> None:
    """Build into a folder and say what came out."""
    for name, built in build_all(Path(arguments[0]) if arguments else ROOT / "build" / "bundles").items():
        print(f"{name:<8} {built.size / MB:6.1f} MB  {built.path}")


if __name__ == "__main__":
    main(sys.argv[1:])

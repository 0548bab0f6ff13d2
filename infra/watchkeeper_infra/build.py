"""Builds what the functions carry: `python -m watchkeeper_infra.build [CLOUD…]`, or `make bundles`.

On AWS one small zip has the code and the knowledge base, and one for each kind of function its packages, as a layer:
those change with the lock file only. On Azure each kind has one zip with both. They are for the machines there,
whatever machine this one is.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from watchkeeper_infra.archive import Part, is_needed, is_no_cache, write_archive
from watchkeeper_infra.bundles import CODE, LAYERS
from watchkeeper_infra.lockfile import read_lock, subset
from watchkeeper_infra.recipes import RECIPES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watchkeeper_infra.recipes import Recipe

ROOT = Path(__file__).resolve().parents[2]
AWS, AZURE = RECIPES["aws"], RECIPES["azure"]
OUR_CODE = ("shared", "functions")
MB = 1_000_000


class Built(NamedTuple):
    """A zip that was made, and the bytes that are in it."""

    path: Path
    size: int


def build_all(folder: Path) -> dict[str, Built]:
    """Build AWS's code and layers. RuntimeError: what uv says, or a bundle that is larger than it may be."""
    built = {CODE: build_code(folder)}
    for name in LAYERS:
        built[name] = build_layer(name, folder)
        _within(name, built[name].size + built[CODE].size, AWS)
    return built


def build_code(folder: Path) -> Built:
    """Our own packages and the knowledge base, for AWS."""
    path = folder / f"{CODE}.zip"
    return Built(path, write_archive(path, _ours(AWS)))


def build_layer(name: str, folder: Path, recipe: Recipe = AWS) -> Built:
    """The packages of one kind of function on AWS, from the lock file; for another machine by another recipe."""
    path = folder / f"{name}.zip"
    with tempfile.TemporaryDirectory() as place:
        return Built(path, write_archive(path, [_packages(name, Path(place), recipe)]))


def build_packages(folder: Path) -> dict[str, Built]:
    """Build Azure's packages, one for each kind of function; errors as `build_all`."""
    return {name: build_package(name, folder) for name in LAYERS}


def build_package(name: str, folder: Path) -> Built:
    """The package of one kind of function on Azure: code, knowledge base and packages."""
    path = folder / f"{name}.zip"
    with tempfile.TemporaryDirectory() as place:
        built = Built(path, write_archive(path, [*_ours(AZURE), _packages(name, Path(place), AZURE)]))
    _within(name, built.size, AZURE)
    return built


def _within(name: str, size: int, recipe: Recipe) -> None:
    if size > recipe.limit_mb[name] * MB:
        message = f"{name}: {size / MB:.1f} MB unpacked, and it may have {recipe.limit_mb[name]}"
        raise RuntimeError(message)


def _packages(name: str, place: Path, recipe: Recipe) -> Part:
    """The packages of a kind, installed in a place of their own for the cloud's machine."""
    lock = read_lock((ROOT / recipe.lock).read_text("utf-8"))
    (place / "requirements.txt").write_text(subset(lock, recipe.without(name)), "utf-8")
    command = [
        *_uv(), "pip", "install", "--quiet", "--target", str(place / "packages"), "--python-platform", recipe.platform,
        "--python-version", recipe.python, "--only-binary", ":all:", "--no-deps", "--require-hashes",
        "-r", str(place / "requirements.txt"),
    ]  # fmt: skip
    done = subprocess.run(command, text=True, capture_output=True, check=False)  # noqa: S603 - our own uv
    if done.returncode:
        message = f"the packages cannot be had for {recipe.platform}: {done.stderr.strip()[-2000:]}"
        raise RuntimeError(message)
    return Part(place / "packages", recipe.packages_in, is_needed)


def _uv() -> Sequence[str]:
    return [str(Path(sys.executable).parent / "uv"), "--no-config"]


def _ours(recipe: Recipe) -> Iterator[Part]:
    """Our own packages that a cloud's functions run, and the knowledge base."""
    left_out = tuple(f"{name}/" for name in recipe.not_ours)

    def wanted(file: Path) -> bool:
        return (
            is_no_cache(file) and file.parts[0].startswith("watchkeeper") and not file.as_posix().startswith(left_out)
        )

    for folder in OUR_CODE:
        yield Part(ROOT / folder, "", wanted)
    yield Part(ROOT / "knowledge_base", "knowledge_base/")
    for root in recipe.roots:
        yield Part(ROOT / root, Path(root).name)


def main(clouds: Sequence[str]) -> None:
    """Build for the named clouds, or for all, and say what came out."""
    makers = {"aws": build_all, "azure": build_packages}
    for cloud in clouds or makers:
        for name, built in makers[cloud](ROOT / RECIPES[cloud].folder).items():
            print(f"{cloud:<6} {name:<8} {built.size / MB:6.1f} MB  {built.path}")


if __name__ == "__main__":
    main(sys.argv[1:])

"""Packages as they are deployed: built, unpacked, and run by Microsoft's worker in an otherwise empty Python 3.13."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import zipfile
from importlib.metadata import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tests.emulators import functions_worker
from tests.emulators.functions_worker import MISSING, Answer, written
from tests.once import alone_in
from watchkeeper_azure.settings import IDENTITY, PREFIX, Settings
from watchkeeper_infra.build import build_package

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def new_python() -> str:
    """A Python 3.13 that starts; empty: there is none."""
    for found in (shutil.which("python3.13"), *map(str, Path.home().glob(".pyenv/versions/3.13*/bin/python3.13"))):
        if found and not subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode:
            return found
    return ""


LACKING = MISSING or ("" if new_python() else "needs Python 3.13, for which packages are built")


class Packages:
    """What is built in a test run, each once: its workers share the folder."""

    def __init__(self, folder: Path) -> None:
        """Nothing need be built yet."""
        self._folder = folder

    def unpacked(self, *kinds: str) -> Path:
        """A folder with the packages of these kinds, one over the other: their common packages are the same."""
        return self._once("-".join(kinds), lambda place: [self._unpack(kind, place) for kind in kinds])

    @property
    def library(self) -> Path:
        """Nothing but the worker library."""
        return self._once("worker", _copy_library)

    def _once(self, name: str, make: Callable[[Path], object]) -> Path:
        place = self._folder / name
        with alone_in(self._folder):
            if not place.exists():
                part = self._folder / f"{name}.part"
                make(part)
                part.rename(place)
        return place

    def _unpack(self, kind: str, place: Path) -> None:
        with zipfile.ZipFile(build_package(kind, self._folder).path) as archive:
            archive.extractall(place, [name for name in archive.namelist() if not (place / name).exists()])


def _copy_library(place: Path) -> None:
    for name in ("azure-functions-runtime", "azurefunctions-extensions-base"):
        for file in files(name) or ():
            if file.suffix == ".py":
                (place / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file.locate(), place / file)


class DeployedWorker:
    """As `FunctionsWorker`, of a package that runs in a process of its own. `about` says what it is made of."""

    def __init__(
        self, package: Path, packages: Packages, log: Path, environment: Mapping[str, str], authority: str = ""
    ) -> None:
        """Start it, and have it indexed."""
        self._log = log.open("w+")
        script = str(Path(__file__).with_name("deployed.py"))
        asked = [
            new_python(),
            "-I",
            "-S",
            script,
            str(package),
            str(packages.library),
            functions_worker.__file__,
            authority,
        ]
        self._process = subprocess.Popen(
            asked, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
            env={"HOME": str(log.parent), **environment},
        )  # fmt: skip
        self.about = self._answer()

    @property
    def metadata(self) -> list[str]:
        """The names of its functions."""
        return sorted(self.about["bindings"])

    def bindings(self, name: str) -> list[dict[str, Any]]:
        """See `FunctionsWorker.bindings`."""
        return [json.loads(text) for text in self.about["bindings"][name]]

    def invoke(self, name: str, argument: str, value: Any, metadata: Mapping[str, Any] | None = None) -> Answer:
        """See `FunctionsWorker.invoke`."""
        told = {"function": name, "argument": argument, "value": written(value)}
        told["metadata"] = {key: written(each) for key, each in (metadata or {}).items()}
        assert self._process.stdin
        print(json.dumps(told), file=self._process.stdin, flush=True)
        answer = self._answer()
        return Answer(base64.b64decode(answer["value"]), answer["error"], answer["status"])

    def close(self) -> None:
        """It ends when nothing more is asked."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()
        self._log.close()

    def _answer(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise AssertionError(self._log.read()[-3000:])
        return json.loads(line)


def environment_of(settings: Settings) -> dict[str, str]:
    """Settings as an app is told them."""
    told = msgspec.to_builtins(settings)
    return {
        IDENTITY if name == "client_id" else PREFIX + name.upper(): str(value) for name, value in told.items() if value
    }

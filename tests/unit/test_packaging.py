"""What is promised about packages, pins and commands, read from the files that make the promise."""

import json
import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT_TEXT = (ROOT / "pyproject.toml").read_text()
PYPROJECT = tomllib.loads(PYPROJECT_TEXT)
PROJECT = PYPROJECT["project"]
MAKEFILE = (ROOT / "Makefile").read_text()

# Which extras a lock file is made from. Every one holds the core's dependencies too.
LOCKS = {
    "local": ["local"],
    "dev": ["local", "aws", "azure", "dev"],
    "aws": ["aws"],
    "azure": ["azure"],
    "infra": ["infra", "infra-checks"],
    "bench": ["bench"],
    "boards": ["boards"],
}
ALONE = {"bench"}  # in a venv of its own: what it shares with the others is the core's dependencies only
APART = ("emulators", "worker")  # in environments or for Pythons of their own, so of other versions: dependency groups


def lock_text(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.txt").read_text()


def normalised(requirement: str) -> str:
    """'PyYAML>=6; python_version < "3.13"' -> 'pyyaml'."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name, f"not a requirement: {requirement!r}"
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def pins(lock: str) -> dict[str, set[tuple[str, int]]]:
    """For each package of a lock file, its versions, each with its number of hashes."""
    found: dict[str, set[tuple[str, int]]] = {}
    for entry in re.split(r"\n(?=\S)", lock):
        if pin := re.match(r"([A-Za-z0-9._-]+)==(\S+)", entry):
            found.setdefault(normalised(pin[1]), set()).add((pin[2], entry.count("--hash=sha256:")))
    return found


def packages_in_the_tree() -> list[Path]:
    folders = chain((ROOT / "shared").glob("watchkeeper*"), (ROOT / "functions").glob("watchkeeper*"))
    return [folder for folder in folders if folder.is_dir()]


def test_every_lock_file_is_known_here():
    assert {path.stem for path in (ROOT / "requirements").iterdir()} == {*LOCKS, *APART}


def test_every_extra_has_a_lock_file():
    assert set(PROJECT["optional-dependencies"]) == {extra for extras in LOCKS.values() for extra in extras}


@pytest.mark.parametrize("name", [*LOCKS, *APART])
def test_a_lock_file_names_no_address_and_no_folder_of_the_machine_that_made_it(name):
    text = lock_text(name)
    unwanted = r"\w+://|--(?:extra-)?index|--find-links|--trusted-host|(?:^|[\s=])(?:/|[A-Za-z]:\\)|@\s"
    assert re.findall(unwanted, text) == []
    assert "make lock" in text.splitlines()[1]


@pytest.mark.parametrize("name", [*LOCKS, *APART])
def test_a_lock_file_pins_every_direct_dependency_with_hashes(name):
    locked = pins(lock_text(name))
    direct = list(PYPROJECT["dependency-groups"][name] if name in APART else PROJECT["dependencies"])
    for extra in LOCKS.get(name, []):
        direct += PROJECT["optional-dependencies"][extra]
    assert {normalised(requirement) for requirement in direct} - set(locked) == set()
    assert [package for package, versions in locked.items() if any(hashes == 0 for _, hashes in versions)] == []


def test_what_comes_from_npm_is_pinned_by_its_content_and_no_address():
    folder = ROOT / "tests" / "emulators" / "node"
    wanted = json.loads((folder / "package.json").read_text())["dependencies"]
    locked = json.loads((folder / "package-lock.json").read_text())["packages"]
    assert wanted
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
    assert {name: locked[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert locked.pop("")["dependencies"] == wanted
    absent = {name for name, entry in locked.items() if entry == {"resolved": "absent", "link": True}}
    assert locked.pop("absent") == {"name": "absent", "version": "0.0.0"}
    from_npm = [entry for name, entry in locked.items() if name not in absent]
    assert [entry for entry in from_npm if "resolved" in entry or "integrity" not in entry] == []


def test_a_package_has_the_same_versions_in_every_lock_file():
    core = {normalised(requirement) for requirement in PROJECT["dependencies"]}
    versions: dict[str, dict[frozenset[str], list[str]]] = {}
    for name in LOCKS:
        for package, pinned in pins(lock_text(name)).items():
            if name in ALONE and package not in core:
                continue
            versions.setdefault(package, {}).setdefault(frozenset(v for v, _ in pinned), []).append(name)
    assert {package: found for package, found in versions.items() if len(found) > 1} == {}


def test_a_dependency_has_a_lower_bound_and_is_capped_at_a_major_version():
    every = [*PROJECT["dependencies"], *chain(*PROJECT["optional-dependencies"].values())]
    shape = re.compile(r"[A-Za-z0-9_-]+>=[\d.]+,<\d+(; .+)?")
    assert [requirement for requirement in every if not shape.fullmatch(requirement)] == []


def test_the_same_dependency_has_the_same_bounds_in_every_extra():
    bounds: dict[str, set[str]] = {}
    for extra in PROJECT["optional-dependencies"].values():
        for requirement in extra:
            bounds.setdefault(normalised(requirement) + requirement.partition(";")[2], set()).add(requirement)
    assert {name: found for name, found in bounds.items() if len(found) > 1} == {}


def test_every_exception_from_a_ruff_rule_has_its_reason():
    lint = PYPROJECT["tool"]["ruff"]["lint"]
    excepted = {*lint["ignore"], *chain(*lint["per-file-ignores"].values())}
    section = PYPROJECT_TEXT.partition("[tool.ruff.lint]")[2].partition("[tool.ruff.lint.pydocstyle]")[0]
    lines = re.findall(r'^    "([A-Z0-9]+)",(.*)$', section, flags=re.MULTILINE)
    assert {rule for rule, _ in lines} == excepted
    assert [rule for rule, rest in lines if not re.fullmatch(r" +# \S.{6,}", rest)] == []


def test_every_make_target_is_declared_and_listed_by_make_help():
    phony = re.search(r"^\.PHONY: (.+)$", MAKEFILE, flags=re.MULTILINE)
    assert phony
    # The pattern by which `make help` finds its lines.
    listed = set(re.findall(r"^([a-z-]+):.*## \S", MAKEFILE, flags=re.MULTILINE))
    written = set(re.findall(r"^([a-z-]+):(?!=)", MAKEFILE, flags=re.MULTILINE))
    assert listed == written == set(phony[1].split())


def test_a_lock_file_is_made_by_make_lock_for_every_set():
    assert set(re.findall(r"-o requirements/(\w+)\.txt", MAKEFILE)) == {*LOCKS, *APART}


def test_ci_runs_what_a_person_runs():
    assert re.search(r"^make test\b", (ROOT / ".ci" / "run").read_text(), flags=re.MULTILINE)
    assert ".ci/run" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()


def test_every_python_that_ci_tests_is_one_that_the_package_claims():
    claimed = {c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", c)}
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    tested = set(re.findall(r'"(3\.\d+)"', workflow))
    assert tested
    assert tested <= claimed


def test_every_package_in_the_tree_is_checked_for_types_and_imports():
    in_tree = {path.name for path in packages_in_the_tree()}
    tools = PYPROJECT["tool"]
    assert in_tree <= set(tools["mypy"]["packages"])
    assert in_tree <= set(tools["importlinter"]["root_packages"])
    assert in_tree <= set(tools["ruff"]["lint"]["isort"]["known-first-party"])


def test_every_package_in_the_tree_says_that_it_is_typed():
    assert [path.name for path in packages_in_the_tree() if not (path / "py.typed").exists()] == []

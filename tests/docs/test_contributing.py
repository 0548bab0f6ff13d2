"""CONTRIBUTING.md: its worked example is followed to the letter."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks, page
from watchkeeper import pipeline, topology
from watchkeeper.describe import as_mermaid, as_text

PAGE = "CONTRIBUTING.md"


def faults_of(stages):
    """What is wrong with a pipeline's table: ends that lead nowhere, tables with two writers, names that come twice."""
    taken = {topic.name for stage in stages for topic in stage.topics}
    made = {topic.name for stage in stages for topic in stage.emits} | {topology.DEAD_LETTER.name}
    external = {name for name, topic in topology.TOPICS.items() if topic.producer}
    read_outside = {name for name, topic in topology.TOPICS.items() if topic.consumer}
    writers = [table.name for stage in stages for table in stage.writes]
    names = [stage.name for stage in stages]
    faults = [f"nobody takes {name}" for name in sorted(made - taken - read_outside)]
    faults += [f"nobody makes {name}" for name in sorted(taken - made - external)]
    faults += [f"{name} has no end" for name in sorted(set(topology.TOPICS) - made - taken)]
    faults += [f"{name} has two writers" for name in sorted({n for n in writers if writers.count(n) > 1})]
    faults += [
        f"{stage.name} reads {t.name}, which nobody writes"
        for stage in stages
        for t in stage.reads
        if t.name not in writers
    ]
    faults += [f"two stages are called {name}" for name in sorted({n for n in names if names.count(n) > 1})]
    return faults + [f"{s.name} keeps a state that it cannot encode" for s in stages if s.state and s.codec is None]


@pytest.fixture
def example():
    """The example's three blocks: the module, the row, the test."""
    module, row, test = blocks(PAGE, "python")
    assert module.text.startswith("# shared/watchkeeper/stages/tally.py\n")
    assert row.text.startswith("# shared/watchkeeper/pipeline.py")
    assert test.text.startswith("# tests/")
    return module, row, test


@pytest.fixture
def extended(example, tmp_path, monkeypatch):
    """The pipeline with the example's stage in it, as if it had been written into the repository."""
    module, row, _ = example
    file = tmp_path / "tally.py"
    file.write_text(module.text, "utf-8")
    spec = importlib.util.spec_from_file_location("watchkeeper.stages.tally", file)
    loaded = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, loaded)
    spec.loader.exec_module(loaded)
    stage = eval(row.text, {**vars(pipeline), **vars(loaded)})  # noqa: S307 - our own page
    monkeypatch.setattr(pipeline, "PIPELINE", (*pipeline.PIPELINE, stage))
    monkeypatch.setattr(pipeline, "STAGES", {**pipeline.STAGES, stage.name: stage})
    return pipeline.PIPELINE


def test_the_test_of_the_example_passes(example, extended):
    test = example[2]
    namespace = {}
    exec(compile(test.text, str(test), "exec"), namespace)  # noqa: S102 - our own page
    (name,) = (name for name in namespace if name.startswith("test_"))
    namespace[name]()


def test_the_example_counts_nothing_if_its_row_is_left_out(example):
    namespace = {}
    exec(compile(example[2].text, "example", "exec"), namespace)  # noqa: S102 - our own page
    with pytest.raises(ValueError, match="not enough values"):
        next(check for name, check in namespace.items() if name.startswith("test_"))()


@pytest.mark.parametrize("which", ["shipped", "extended"])
def test_every_topic_has_two_ends_and_every_table_one_writer(which, request):
    stages = request.getfixturevalue("extended") if which == "extended" else pipeline.PIPELINE
    assert faults_of(stages) == []


def test_the_general_tests_see_what_is_wrong(extended):
    clean, store, tally = (next(s for s in extended if s.name == name) for name in ("clean", "store", "tally"))
    assert "tallies has two writers" in faults_of((*extended, tally))
    assert "nobody takes final-data-storage" in faults_of([s for s in extended if s not in (store, tally)])
    assert "nobody makes data-processing-output" in faults_of([s for s in extended if s is not clean])


def test_the_new_stage_is_in_the_picture_and_in_the_text(extended):
    assert 'ml_score -->|"final-data-storage"| tally' in as_mermaid(extended)
    assert 'tally_rows[("tallies")]' in as_mermaid(extended)
    assert re.search(r"^tally +final-data-storage +tallies +shard$", as_text(extended), re.MULTILINE)


def test_every_make_target_is_described_and_none_that_is_not_there():
    targets = set(re.findall(r"^([a-z]+):.*## ", page("Makefile"), re.MULTILINE)) - {"help"}
    assert set(re.findall(r"^\| `make ([a-z]+)`", page(PAGE), re.MULTILINE)) == targets


def test_every_folder_of_tests_is_described():
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and any(path.rglob("test_*.py"))}
    assert folders <= set(re.findall(r"^\| `tests/(\w+)/`", page(PAGE), re.MULTILINE))


def test_the_module_of_the_example_meets_the_rules_of_the_repository(example):
    ruff = Path(sys.executable).parent / "ruff"
    name = ["--stdin-filename", "shared/watchkeeper/stages/tally.py", "-"]
    for command in (["check", "--quiet"], ["format", "--check", "--quiet"]):
        done = subprocess.run(
            [ruff, *command, *name], input=example[0].text, text=True, capture_output=True, cwd=ROOT, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

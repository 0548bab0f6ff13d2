"""`watchkeeper bundle`, over a data folder; and that a start of the runtime leaves in force what was rolled back."""

import re
import shutil

import pytest

from watchkeeper.bundles import bundle_in_force, publish_bundle, roll_back_bundle
from watchkeeper_local.cli import main
from watchkeeper_local.knowledge import read_bundle, shipped_folder
from watchkeeper_local.node import open_node
from watchkeeper_local.settings import Settings
from watchkeeper_local.up import Runtime


@pytest.fixture
def folder(tmp_path):
    """A copy of the shipped knowledge base."""
    return shutil.copytree(shipped_folder(), tmp_path / "knowledge")


@pytest.fixture
def run(tmp_path, capsys):
    """Runs `watchkeeper bundle …` over a data folder that has been used; answers the exit code and what was said."""
    open_node(Settings(data_dir=str(tmp_path / "data")), durable=False)[0].close()

    def run(*arguments):
        code = main(["bundle", *map(str, arguments), "--data-dir", str(tmp_path / "data")])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def edit(folder, before, after, name="rules/pump.yaml"):
    file = folder / name
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, after, 1))


def test_a_folder_is_published_compared_and_rolled_back(run, folder):
    first = read_bundle(str(folder)).version
    assert run("list") == (0, "no bundle is in force yet; `watchkeeper up` publishes one\n")
    code, said = run("publish", folder)
    assert (code, said.splitlines()[0].split(":")[0]) == (0, f"{first} is in force")

    edit(folder, "bearing_temperature\n    above: 95", "bearing_temperature\n    above: 90", "rules/motor.yaml")
    (folder / "rules" / "hvac.yaml").unlink()
    second = read_bundle(str(folder)).version
    said = run("publish", folder)[1]
    assert "- file rules/hvac.yaml\n~ file rules/motor.yaml\n" in said
    assert "- rule hvac.supply-warm\n" in said
    assert "~ rule motor.bearing-hot: fire_high 95 -> 90\n" in said
    assert run("publish", folder) == (0, f"{second} is in force already\n")

    assert "+ rule hvac.supply-warm" in run("rollback")[1]
    assert [line.split()[0] for line in run("list")[1].splitlines()] == [first, second, first]
    assert re.search(r"rolled back, in force", run("list")[1])
    assert "~ rule motor.bearing-hot: fire_high 95 -> 90" in run("diff", first, folder)[1]
    assert run("diff", second, folder) == (0, "they are the same\n")
    assert "rule hvac.supply-warm  (hvac, above, " in run("show")[1]
    assert "hvac.supply-warm" not in run("show", second)[1]


def test_a_folder_with_mistakes_is_not_published(run, folder):
    run("publish", folder)
    before = run("list")
    edit(folder, "metric: ", "metric: no_")
    code, said = run("publish", folder)
    assert code == 2
    assert re.search(r"rules/pump\.yaml:\d+:\d+: unknown metric", said)
    assert run("list") == before


def test_what_cannot_be_done_with_bundles_is_said(run, tmp_path, capsys):
    assert run("rollback") == (2, "watchkeeper: there is no earlier bundle to roll back to\n")
    assert "no bundle is in force yet" in run("show")[1]
    assert "there is no bundle 'b-1'; stored are: none" in run("diff", "b-1", "b-2")[1]
    assert main(["bundle", "list", "--data-dir", str(tmp_path / "no-such")]) == 2
    assert "no Watchkeeper has kept data there" in capsys.readouterr().err


def started(settings, caplog):
    """What a start of the runtime puts in force, without its processes."""
    runtime = Runtime(settings)
    runtime.ports, runtime.published = open_node(settings, durable=True)
    caplog.clear()
    runtime._publish()
    version = bundle_in_force(runtime.ports.blobs).version
    assert runtime.published.bundle.version == version
    runtime.ports.close()
    return version


def test_a_start_publishes_its_folder_but_not_over_a_rollback(tmp_path, folder, caplog):
    settings = Settings(data_dir=str(tmp_path / "data"), knowledge_base=str(folder))
    first = started(settings, caplog)
    edit(folder, "summary: ", "summary: Really, ")
    second = started(settings, caplog)
    assert first != second == read_bundle(str(folder)).version

    ports, _ = open_node(settings, durable=True)
    roll_back_bundle(ports.blobs)
    ports.close()
    assert started(settings, caplog) == first
    assert f"bundle {first} stays in force: the knowledge base {folder} ({second}) has not changed" in caplog.text

    edit(folder, "summary: ", "summary: Really, ")
    assert started(settings, caplog) == read_bundle(str(folder)).version
    assert "stays in force" not in caplog.text


def test_a_worker_that_starts_again_is_not_stopped_by_a_folder_that_is_being_edited(tmp_path, folder):
    settings = Settings(data_dir=str(tmp_path / "data"), knowledge_base=str(folder))
    ports, published = open_node(settings, durable=True)
    publish_bundle(ports.blobs, published.bundle)
    ports.close()
    edit(folder, "applies_to: pump", "applies_to: pmup")
    ports, again = open_node(settings, durable=False)
    ports.close()
    assert again.bundle.version == published.bundle.version

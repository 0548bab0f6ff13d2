"""docs/knowledge-base.md: its commands are run, and its table is what the command prints."""

import shutil

import pytest

from tests.docs.pages import ROOT, blocks, page
from watchkeeper.knowledge.catalogue_files import CLASS_KEYS, DEVICE_KEYS, METRIC_KEYS
from watchkeeper_local.cli import main
from watchkeeper_local.node import open_node
from watchkeeper_local.settings import Settings

PAGE = "docs/knowledge-base.md"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the knowledge base copied, recorded data, and a data folder where Watchkeeper keeps its own."""
    for name in ("knowledge_base", "my-knowledge"):
        shutil.copytree(ROOT / "knowledge_base", tmp_path / name)
    minutes = [f"2024-03-01 06:{m:02d}:00,{99 if 5 <= m <= 10 else 70}" for m in range(20)]
    (tmp_path / "recorded.csv").write_text("\n".join(["timestamp,bearing_temperature", *minutes]) + "\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WATCHKEEPER_DATA_DIR", str(tmp_path / "data"))
    open_node(Settings(data_dir=str(tmp_path / "data")), durable=False)[0].close()


def test_the_commands_of_the_page_do_what_it_says(place, capsys):
    _, rules, bundles = (block.text.splitlines() for block in blocks(PAGE, "bash"))
    (table,) = blocks(PAGE, "text")
    for command in rules:
        assert main(command.split()[1:]) == 0
    assert capsys.readouterr().out.endswith(table.text)
    publish, show, roll_back = bundles
    assert main(publish.split()[1:]) == 0
    with open("my-knowledge/rules/motor.yaml", "a", encoding="utf-8") as file:  # noqa: PTH123 - as an editor would
        file.write("# a remark\n")
    for command in (publish, show, roll_back):
        assert main(command.split()[1:]) == 0
    assert "rolled back" not in (said := capsys.readouterr().out)
    assert said.count("is in force: 6 classes of devices") == 3


@pytest.mark.parametrize("key", sorted({*CLASS_KEYS, *DEVICE_KEYS, *METRIC_KEYS}))
def test_every_key_of_the_catalogue_is_explained(key):
    assert f"`{key}`" in page("knowledge_base/README.md")

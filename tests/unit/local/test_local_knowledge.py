"""Reading a knowledge base from a folder, and refusing one that is not fit."""

import pytest

from watchkeeper.errors import ConfigError, KnowledgeError
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper_local.knowledge import read_bundle, shipped_folder


def test_the_shipped_knowledge_base_is_read_whole():
    bundle = read_bundle()
    assert isinstance(bundle, Bundle)
    assert len(bundle.library.runbooks) >= 12
    assert {"pump", "host", "generic"} <= set(bundle.catalogue.class_names)
    assert (shipped_folder() / "rules").is_dir()


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no-such: no such folder"):
        read_bundle(str(tmp_path / "no-such"))
    with pytest.raises(ConfigError, match="no knowledge base, which has the folders devices"):
        read_bundle(str(tmp_path))


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "pump.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(KnowledgeError, match=r"rules/pump\.yaml:1:1: not Unicode text"):
        read_bundle(str(tmp_path))


def test_a_mistake_is_told_with_its_file_and_line(tmp_path):
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "any.yaml").write_text('applies_to: "*"\nrules:\n  - idd: x\n')
    with pytest.raises(KnowledgeError, match=r"rules/any\.yaml:3"):
        read_bundle(str(tmp_path))

"""Publishing the knowledge base where many processes start at once."""

from functools import partial
from pathlib import Path

import pytest

from tests.conformance.racing import at_once
from watchkeeper.bundles import bundle_in_force
from watchkeeper.errors import ConfigError, Conflict
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.memory import MemoryBlobs
from watchkeeper_adapters.knowledge_files import publish_in_company, read_files

KNOWLEDGE_BASE = Path(__file__).parents[3] / "knowledge_base"


def test_all_of_many_who_start_at_once_are_content_with_the_one_bundle():
    blobs, bundle = MemoryBlobs(), Bundle.from_files(read_files(KNOWLEDGE_BASE))
    told = at_once([partial(publish_in_company, blobs, bundle, "deployed", now=1)] * 8)
    assert {each.version for each in told} == {bundle.version} == {bundle_in_force(blobs).version}


def test_who_is_never_let_says_so():
    class Busy(MemoryBlobs):
        def put(self, key, data, expect=None):
            if key == "bundles/current":
                raise Conflict("again")
            return super().put(key, data)

    with pytest.raises(Conflict):
        publish_in_company(Busy(), Bundle.from_files(read_files(KNOWLEDGE_BASE)), "deployed", now=1)


def test_a_folder_that_is_none_is_said(tmp_path):
    with pytest.raises(ConfigError, match="no knowledge base, which has the folders"):
        read_files(tmp_path)

"""What any version has stored must be readable for ever: read as it is, or migrated."""

import pytest

from tests.unit.core.golden_samples import FOLDER, expected, kinds, path_of, records, states
from watchkeeper.packs import Pack
from watchkeeper.pipeline import PIPELINE
from watchkeeper.topology import RECORDS, TABLES

KINDS = kinds()
VERSIONS = [(name, version) for name, kind in KINDS.items() for version in range(1, kind.version + 1)]


@pytest.mark.parametrize(("name", "version"), VERSIONS)
def test_what_a_version_has_stored_is_read_as_it_was_meant(name, version):
    kind = KINDS[name]
    assert kind.plain(kind.read(path_of(name, version).read_bytes())) == kind.plain(expected(name, version))


def test_there_is_a_sample_of_everything_that_is_stored_or_travels():
    sampled = {type(record) for record in records().values()} | {Pack}
    assert {table.record for table in TABLES.values()} | set(RECORDS.values()) <= sampled
    assert set(states()) == {stage.name for stage in PIPELINE if stage.codec}


def test_there_is_no_golden_file_that_nothing_reads():
    """A version that was taken back, or a kind that is gone, would be forgotten with what people have stored of it."""
    assert {path.name for path in FOLDER.iterdir()} == {path_of(*each).name for each in VERSIONS}

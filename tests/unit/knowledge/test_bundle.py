"""A bundle is named by its content, survives the way through storage, and never fails in an unknown way."""

import subprocess
import sys

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.errors import KnowledgeError
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.knowledge.catalogue import Catalogue, DeviceClass, DeviceOverride, Importance
from watchkeeper.knowledge.rules import RuleSet, Severity

PATHS = ("devices/pump.yaml", "rules/pump.yaml", "runbooks/leak.md")


def test_a_bundle_comes_back_from_its_bytes_equal(shipped):
    assert Bundle.decode(shipped.encode()) == shipped


def test_the_version_follows_the_content_and_not_the_order(shipped, shipped_files):
    assert Bundle.from_files(dict(reversed(shipped_files.items()))).version == shipped.version
    changed = shipped_files | {"rules/host.yaml": shipped_files["rules/host.yaml"] + "# a remark\n"}
    assert Bundle.from_files(changed).version != shipped.version


def test_a_version_is_b_and_twelve_hexadecimal_digits(shipped):
    prefix, digits = shipped.version.split("-")
    assert prefix == "b"
    assert len(digits) == 12
    int(digits, 16)


def test_no_files_at_all_are_a_bundle_in_which_every_device_is_generic():
    bundle = Bundle.from_files({})
    assert bundle.catalogue.profile("anything").class_name == "generic"
    assert bundle.rules.for_class("generic") == ()
    assert bundle.library.search("anything", device_class="generic") == ()


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"a": 1}', b'{"rules/a.yaml": "\xff"}', b"[" * 100_000])
def test_bytes_that_are_no_bundle_are_refused(data):
    with pytest.raises(KnowledgeError):
        Bundle.decode(data)


def test_the_hot_path_does_not_import_the_search():
    code = "import sys, watchkeeper.knowledge.bundle; sys.exit('bm25s' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_severities_are_ordered_by_how_bad_they_are():
    assert sorted(Severity, key=lambda severity: severity.rank) == list(Severity)
    assert Severity.INFO < Severity.WARNING < Severity.CRITICAL < Severity.EMERGENCY
    assert Severity.EMERGENCY >= Severity.CRITICAL > Severity.INFO
    assert Severity.INFO <= Severity.INFO
    assert max(Severity.WARNING, Severity.CRITICAL) is Severity.CRITICAL
    assert msgspec.json.encode(Severity.CRITICAL) == b'"critical"'


def test_a_class_that_lists_a_device_wins_over_a_pattern_and_the_generic_class_comes_last():
    catalogue = Catalogue(
        (
            DeviceClass("generic", match=("*",)),
            DeviceClass("fan", match=("p-*",)),
            DeviceClass("pump", match=("p-*",), devices={"p-1": DeviceOverride(importance=Importance.LOW)}),
        )
    )
    assert [catalogue.profile(device).class_name for device in ("p-1", "p-2", "q")] == ["pump", "fan", "generic"]
    assert catalogue.profile("p-1").importance is Importance.LOW
    assert catalogue.class_names == ("fan", "pump", "generic")
    assert catalogue.profile("p-2") is catalogue.profile("p-2")


def test_a_rule_of_an_older_bundle_is_not_known():
    assert RuleSet(()).by_id("gone") is None


def accepted_or_refused(files: dict[str, str]) -> None:
    """Any other exception than KnowledgeError fails the test."""
    try:
        bundle = Bundle.from_files(files)
    except KnowledgeError as error:
        refusal = str(error)
    else:
        assert Bundle.decode(bundle.encode()) == bundle
        return
    assert all(line.count(":") >= 2 for line in refusal.split("\n"))


@settings(max_examples=400)
@given(st.dictionaries(st.sampled_from(PATHS) | st.text(max_size=20), st.text(), max_size=3))
def test_arbitrary_text_is_accepted_or_refused_and_nothing_else(files):
    accepted_or_refused(files)


KEYS = st.sampled_from(["class: ", "rules:", "metrics:", "match: ", "range: ", "above: ", "clear: ", "for: ", "id: "])
SIGNS = st.sampled_from(
    ["- ", "  ", "\n", "[", "]", "{", "}", ", ", ": ", "? ", "|\n", "---\n", "&a ", "*a", "!!int ", "#"]
)
VALUES = st.sampled_from(
    ["1", "-1e999", ".nan", "0x_", "1:30", "2024-13-45", "~", "=", "<<", "'", '"', "pump", "*", "%"]
)


@settings(max_examples=800)
@given(st.sampled_from(PATHS), st.lists(KEYS | SIGNS | VALUES, max_size=40).map("".join))
def test_text_that_is_nearly_yaml_is_accepted_or_refused_and_nothing_else(path, text):
    accepted_or_refused({path: text})


@settings(max_examples=800, deadline=None)
@given(st.data())
def test_a_shipped_file_with_a_damaged_place_is_accepted_or_refused_and_nothing_else(shipped_files, data):
    file = data.draw(st.sampled_from(sorted(shipped_files)))
    text = shipped_files[file]
    start = data.draw(st.integers(0, len(text)))
    end = start + data.draw(st.integers(0, 20))
    accepted_or_refused({file: text[:start] + data.draw(st.text(max_size=5)) + text[end:]})


@given(st.binary())
def test_arbitrary_bytes_are_no_bundle_or_one(data):
    try:
        Bundle.decode(data)
    except KnowledgeError:
        return

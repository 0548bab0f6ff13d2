"""A bundle: the whole knowledge base, checked as one, named by its content, and published as one object."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from hashlib import sha256

import msgspec

from watchkeeper.errors import KnowledgeError
from watchkeeper.knowledge.catalogue import Catalogue
from watchkeeper.knowledge.catalogue_files import read_catalogue
from watchkeeper.knowledge.problems import Mark, Problems
from watchkeeper.knowledge.rule_files import read_rules
from watchkeeper.knowledge.rules import RuleSet
from watchkeeper.knowledge.runbook_files import read_runbooks
from watchkeeper.knowledge.runbooks import Library

FOLDERS = ("devices", "rules", "runbooks")
"""The folders of a knowledge base. A runtime hands over every file in them, so that none is overlooked in silence."""

_KINDS = ("devices/*.yaml", "rules/*.yaml", "runbooks/*.md")


class Bundle(msgspec.Struct, frozen=True, dict=True):
    """A valid knowledge base. Made by `from_files` or `decode`, which check it.

    Equal files give an equal `version`: `b-` and the first 12 hexadecimal digits of the SHA-256 of `encode()`.
    """

    files: Mapping[str, str]
    catalogue: Catalogue
    rules: RuleSet
    library: Library
    version: str

    @classmethod
    def from_files(cls, files: Mapping[str, str]) -> "Bundle":
        """The bundle of `files`: text by path relative to the knowledge base (`rules/pump.yaml`).

        Raises one KnowledgeError with everything that is wrong, one line a problem, as `file:line:column: what`.
        """
        problems = Problems()
        devices, rules, runbooks = (_of_kind(files, kind) for kind in _KINDS)
        _refuse_others(files, problems)
        problems.raise_if_any()
        catalogue = read_catalogue(devices, problems)
        library = Library(read_runbooks(runbooks, catalogue, problems))
        rule_set = read_rules(rules, catalogue, {runbook.file for runbook in library.runbooks}, problems)
        problems.raise_if_any()
        in_order = dict(sorted(files.items()))
        return cls(in_order, catalogue, rule_set, library, _version(in_order))

    def encode(self) -> bytes:
        """The files as JSON, in name order."""
        return msgspec.json.encode(self.files)

    @classmethod
    def decode(cls, data: bytes) -> "Bundle":
        """The bundle that `encode` made `data` from. Raises KnowledgeError for anything else."""
        try:
            files = msgspec.json.decode(data, type=dict[str, str])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise KnowledgeError(f"not a bundle: {error}") from error
        return cls.from_files(files)


def _of_kind(files: Mapping[str, str], kind: str) -> dict[str, str]:
    return {file: text for file, text in files.items() if _is_kind(file, kind)}


def _is_kind(file: str, kind: str) -> bool:
    return fnmatchcase(file, kind) and file.count("/") == 1


def _refuse_others(files: Mapping[str, str], problems: Problems) -> None:
    for file, text in files.items():
        complain = problems.of(file)
        if not any(_is_kind(file, kind) for kind in _KINDS):
            complain(Mark(1), f"not a file of a knowledge base (those are {', '.join(_KINDS)})")
        for number, line in enumerate(text.split("\n"), start=1):
            if not _encodable(line):
                complain(Mark(number), "not Unicode text")


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _version(files: Mapping[str, str]) -> str:
    return f"b-{sha256(msgspec.json.encode(files)).hexdigest()[:12]}"

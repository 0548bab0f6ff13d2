"""Every error Watchkeeper raises on purpose.

WatchkeeperError
├── ConfigError      a flag, an environment variable or a settings file is wrong
├── KnowledgeError   a rule, catalogue entry or runbook is wrong; one line per problem
│   └── ExpressionError  an expression is wrong, at a place in its text
├── DecodeError      bytes are not the record they should be: poison, never an outage
├── StateError       a stage's stored state cannot be read
├── ModelError       a stored model cannot be read, or a language model's answer cannot be used
├── Conflict         somebody else wrote first: the batch comes again
├── Unavailable      a dependency is down: the partition stops and goes on where it was
└── Undeclared       a stage touched what its row of the pipeline does not declare
"""


class WatchkeeperError(Exception):
    """The root of the tree; its text says what was wrong, where, and what to do."""


class ConfigError(WatchkeeperError):
    """A setting is unknown or has a value that is not allowed."""


class KnowledgeError(WatchkeeperError):
    """A file of the knowledge base is wrong; the text has one line per problem."""


class ExpressionError(KnowledgeError):
    """An expression is wrong: `text` says how, `offset` at which of its characters, counted from 0."""

    def __init__(self, text: str, offset: int) -> None:
        super().__init__(f"{text} (at character {offset + 1} of the expression)")
        self.text, self.offset = text, offset


class DecodeError(WatchkeeperError):
    """Bytes that are not the record they should be."""


class StateError(WatchkeeperError):
    """Stored state that cannot be read."""


class ModelError(WatchkeeperError):
    """A model that cannot be read, or an answer of a language model that cannot be used."""


class Conflict(WatchkeeperError):
    """A conditional write found another version than it expected."""


class Unavailable(WatchkeeperError):
    """A dependency cannot be reached now; what was asked of it may work later."""


class Undeclared(WatchkeeperError):
    """A stage touched a topic, table or port that its row of the pipeline does not name."""

"""The table as people see it: all of it, and nothing that is not there."""

import re

from watchkeeper.describe import as_mermaid, as_text
from watchkeeper.pipeline import PIPELINE
from watchkeeper.topology import TOPICS


def test_the_text_has_every_stage_with_all_that_it_touches():
    text = as_text(PIPELINE)
    for stage in PIPELINE:
        assert re.search(rf"^{stage.name}\b", text, re.MULTILINE)
        for part in (*stage.topics, *stage.emits, *stage.writes):
            assert part.name in text
    assert "every 30 s" in text
    assert "POST /ingest/realtime" in text


def test_columns_are_aligned_and_no_line_ends_in_blanks():
    head, rule, *lines = as_text(PIPELINE).splitlines()
    starts = [match.start() for match in re.finditer("-+", rule)]
    assert [head[start:].split("  ")[0] for start in starts] == [
        "stage",
        "triggered by",
        "emits",
        "writes",
        "uses",
        "state",
    ]
    assert all(line[start - 1] == " " for line in lines for start in starts[1:] if len(line) > start)
    assert all(line == line.rstrip() for line in (head, rule, *lines))


def test_the_picture_has_every_stage_and_every_topic():
    picture = as_mermaid(PIPELINE)
    assert picture.startswith("flowchart")
    for name in (*(stage.name for stage in PIPELINE), *TOPICS):
        assert name in picture

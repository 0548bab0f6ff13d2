"""`watchkeeper backtest`: one row out for each row in, nothing known in advance, labels never read."""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from watchkeeper_local.backtest import judge
from watchkeeper_local.backtest_file import read_series
from watchkeeper_local.cli import main

START = datetime(2024, 3, 1, tzinfo=UTC)


def lines(
    n: int, *, header: str = "timestamp,flow,pressure,anomaly", separator: str = ",", step: float = 0.0
) -> list[str]:
    noise = np.random.default_rng(3).normal((50.0, 6.0), 1.0, (n, 2))
    noise[n // 2 :, 0] += step
    rows = [
        separator.join((f"{START + timedelta(minutes=i):%Y-%m-%d %H:%M:%S}", f"{a:.4f}", f"{b:.4f}", "1"))
        for i, (a, b) in enumerate(noise)
    ]
    return [header.replace(",", separator), *rows]


def written(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_a_row_goes_out_for_each_that_came_in_and_labels_are_never_read(tmp_path, separator, capsys):
    source, out = tmp_path / "in" / "loop" / "1.csv", tmp_path / "out"
    source.parent.mkdir(parents=True)
    source.write_text("\n".join(lines(600, separator=separator, step=20.0)))
    assert main(["backtest", str(tmp_path / "in"), "--out", str(out)]) == 0
    rows = written(out / "loop" / "1.csv")
    assert list(rows[0]) == ["timestamp", "score", "anomalous", "alert", "contribution_flow", "contribution_pressure"]
    assert len(rows) == 600
    assert rows[5]["timestamp"] == "2024-03-01 00:05:00"
    assert all(0.0 <= float(row["score"]) <= 1.0 for row in rows)
    [opened] = [at for at, row in enumerate(rows) if row["alert"] == "1" and at >= 300]
    assert opened < 310
    assert rows[opened]["anomalous"] == "1"
    assert float(rows[opened]["contribution_flow"]) > float(rows[opened]["contribution_pressure"])
    assert "µs a row" in capsys.readouterr().out


def test_bad_rows_are_reported_and_keep_their_line(tmp_path, capsys):
    text = lines(200)
    text[50], text[60], text[70] = "never,1.0,2.0,0", "2024-03-01 00:59:00,broken,2.0,0", "2024-03-01 01:09:00,1.0"
    source = tmp_path / "a.csv"
    source.write_text("\n".join(text))
    assert main(["backtest", str(source), "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr()
    assert [f"a.csv:{line}:" in said.err for line in (51, 61, 71)] == [True] * 3
    rows = written(tmp_path / "out" / "a.csv")
    assert len(rows) == 200
    assert (rows[49]["timestamp"], float(rows[49]["score"])) == ("never", 0.0)


def test_what_comes_later_changes_nothing_of_what_was_said(tmp_path):
    source = tmp_path / "a.csv"
    source.write_text("\n".join(lines(900, step=9.0)))
    whole = judge(read_series(source))
    source.write_text("\n".join(lines(900, step=9.0)[:501]))
    part = judge(read_series(source))
    assert part.score.tolist() == whole.score[:500].tolist()
    assert part.alert.tolist() == whole.alert[:500].tolist()


def test_the_time_is_found_by_its_name_or_is_the_first_column_and_words_are_no_metrics(tmp_path):
    source = tmp_path / "a.csv"
    source.write_text("value,state,ts\n1.5,on,1709294400\n2.5,off,1709294460\n")
    series = read_series(source)
    assert series.metrics == ("value",)
    assert series.ts.tolist() == [1709294400000, 1709294460000]
    assert series.bad == []
    source.write_text("when;x\n2024-03-01T12:00:00Z;1,5\n")
    assert read_series(source).values.tolist() == [[1.5]]


def test_a_picture_is_drawn_for_each_file(tmp_path):
    source = tmp_path / "a.csv"
    source.write_text("\n".join(lines(300, step=20.0)))
    assert main(["backtest", str(source), "--out", str(tmp_path / "out"), "--plots"]) == 0
    assert (tmp_path / "out" / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("text", "reason"), [(None, "no such file"), ("timestamp\n1\n", "no column"), ("a,b,b\n1,2,3\n", "same name")]
)
def test_what_cannot_be_scored_is_said(tmp_path, capsys, text, reason):
    source = tmp_path / "a.csv"
    if text is not None:
        source.write_text(text)
    assert main(["backtest", str(source), "--out", str(tmp_path / "out")]) == 2
    assert reason in capsys.readouterr().err


def test_two_files_that_would_go_to_one_place_are_refused(tmp_path, capsys):
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.csv").write_text("\n".join(lines(5)))
    assert main(["backtest", str(tmp_path / "x"), str(tmp_path / "y"), "--out", str(tmp_path / "out")]) == 2
    assert "same place" in capsys.readouterr().err

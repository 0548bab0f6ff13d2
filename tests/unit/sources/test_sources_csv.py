"""Any CSV as readings: separators, devices, times, metrics and tags; bad lines are told, never raised."""

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from watchkeeper_local.sources.csv_cells import parse_time
from watchkeeper_local.sources.csv_readings import CsvError, CsvReading, read_csv

DATA = Path(__file__).parents[4] / "shared" / "data"


@pytest.fixture
def read(tmp_path):
    def of(text, name="pump-07.csv"):
        file = tmp_path / name
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return list(read_csv(file))

    return of


def readings(found):
    assert all(isinstance(one, CsvReading) for one in found), [str(one) for one in found]
    return [one.reading for one in found]


def test_a_file_without_a_device_column_is_one_device_named_after_it(read):
    found = readings(read("timestamp,value\n2014-04-01 00:00:00,18.5\n"))
    assert found == [{"device": "pump-07", "ts": 1_396_310_400_000, "values": {"value": 18.5}}]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_sniffed(read, separator):
    text = "ts,flow,state\n1700000000,1.5,on\n".replace(",", separator)
    assert readings(read(text))[0]["values"] == {"flow": 1.5}


@pytest.mark.parametrize("name", ["device", "Device_ID", "host", "sensor"])
def test_a_device_column_divides_the_rows(read, name):
    found = readings(read(f"time,{name},v\n1700000000,a,1\n1700000000,b,2\n"))
    assert [one["device"] for one in found] == ["a", "b"]


def test_text_is_tags_numbers_are_metrics_and_labels_are_ignored(read):
    (one,) = readings(read("ts,v,operator,site,anomaly,changepoint,label\n1700000000,1,anna,north,1,0,bad\n"))
    assert one["values"] == {"v": 1.0}
    assert one["tags"] == {"operator": "anna"}
    assert one["site"] == "north"


@pytest.mark.parametrize("column", ["timestamp", "datetime", "ts", "time", "Date", "when it was"])
def test_the_time_column_is_found_by_name_or_as_the_first_that_is_a_time(read, column):
    (one,) = readings(read(f"v,{column}\n1500000000,2023-11-14T22:13:20Z\n"))
    assert one["ts"] == 1_700_000_000_000
    assert one["values"] == {"v": 1_500_000_000.0}


def test_date_and_time_in_two_columns_are_one_time(read):
    (one,) = readings(read("date;time;v\n2023-11-14;22:13:20;1\n"))
    assert (one["ts"], one["values"]) == (1_700_000_000_000, {"v": 1.0})


@pytest.mark.parametrize(
    "cell",
    [
        "1700000000",
        "1700000000.0",
        "1700000000000",
        "1700000000000000",
        "2023-11-14 22:13:20",
        "2023-11-14T22:13:20.000Z",
        "2023-11-14T23:13:20+01:00",
        "20231114T221320",
    ],
)
def test_times_are_iso_8601_or_numbers_since_1970_and_utc_unless_told(cell):
    assert parse_time(cell) == 1_700_000_000_000


@pytest.mark.parametrize("cell", ["", "12", "20240131", "nan", "inf", "1_700_000_000", "yesterday", "1900-01-01", "-1"])
def test_what_is_no_plausible_time_is_none(cell):
    assert parse_time(cell) is None


def test_an_hour_of_one_digit_is_understood():
    assert parse_time("2023-11-14 9:05:00") == 1_699_952_700_000


def test_bad_rows_are_told_with_line_and_reason_and_their_neighbours_live(read):
    found = read("ts,v\n1700000000,1\nnever,2\n1700000002,x\n1700000003\n\n1700000004,\n1700000005,inf\n1700000006,6\n")
    errors = [one for one in found if isinstance(one, CsvError)]
    assert [one.line for one in found] == [2, 3, 4, 5, 7, 8, 9]
    assert [one.reason.split(" (")[0] for one in errors] == [
        "'never' is no time",
        "column 'v': 'x' is no finite number",
        "1 cells where the header has 2",
        "no column holds a number",
        "column 'v': 'inf' is no finite number",
    ]
    assert str(errors[0]).endswith(
        "pump-07.csv:3: 'never' is no time (ISO 8601, or seconds or milliseconds since 1970, up to 2100)"
    )


def test_a_torn_first_row_does_not_decide_what_the_columns_are(read):
    found = read("ts,v,w\ngarbage,x,1700000000\n1700000001,2,1700000000\n1700000002,3,1700000000\n")
    assert isinstance(found[0], CsvError)
    assert [one["values"]["v"] for one in readings(found[1:])] == [2.0, 3.0]


def test_missing_values_are_left_out(read):
    found = readings(read("ts,a,b\n1700000000,1,2\n1700000001,,2\n1700000002,1,NaN\n1700000003,n/a,2\n"))
    assert [sorted(one["values"]) for one in found] == [["a", "b"], ["b"], ["a"], ["b"]]


def test_a_decimal_comma_is_read_where_the_comma_does_not_separate(read):
    assert readings(read("ts;v\n1700000000;3,25\n"))[0]["values"] == {"v": 3.25}


def test_quoted_cells_may_hold_separators_and_line_breaks(read):
    found = readings(read('ts,note,v\n1700000000,"a,\nb",1\n1700000001,c,2\n'))
    assert [one["tags"]["note"] for one in found] == ["a,\nb", "c"]


def test_a_quote_that_is_never_closed_costs_its_own_line_only(read):
    rows = "".join(f"{1700000000 + n},x,{n}\n" for n in range(100))
    found = read('ts,note,v\n1700000000,"torn,1\n' + rows)
    assert [one.line for one in found if isinstance(one, CsvError)] == [2]
    assert sum(isinstance(one, CsvReading) for one in found) == 100


@pytest.mark.parametrize("text", ["1700000000,1\n1700000001,2\n", "ts,v,v\n1,2,3\n", '"ts,v\n1,2\n'])
def test_a_header_that_names_no_columns_ends_the_file_with_one_error(read, text):
    (error,) = read(text)
    assert isinstance(error, CsvError)
    assert error.line == 1


def test_a_file_without_times_says_so_for_each_row(read):
    found = read("a,b\n1,2\n3,4\n")
    assert [one.line for one in found] == [2, 3]
    assert all("no time here" in str(one) for one in found)


def test_a_byte_order_mark_and_windows_line_ends_are_no_trouble(read):
    assert readings(read(b"\xef\xbb\xbfts,v\r\n1700000000,1\r\n"))[0]["values"] == {"v": 1.0}


@pytest.mark.parametrize("text", ["", "\n\n", "ts,v\n"])
def test_a_file_without_rows_gives_nothing(read, text):
    assert read(text) == []


def test_a_file_that_is_not_there_is_an_os_error():
    with pytest.raises(FileNotFoundError):
        next(read_csv("/nowhere/at/all.csv"))


@pytest.mark.no_cover
def test_memory_stays_bounded_whatever_the_file(tmp_path):
    file = tmp_path / "big.csv"
    with file.open("w") as out:
        out.write("ts,v\n")
        out.writelines(f"{1_700_000_000 + n},{n}\n" for n in range(40_000))
        out.write("x" * 30_000_000 + "\n1700000000,1\n")
    tracemalloc.start()
    count = sum(isinstance(one, CsvReading) for one in read_csv(file))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 40_001
    assert peak < 6_000_000


CELLS = st.one_of(
    st.text(max_size=12),
    st.text(alphabet=',;|\t"\n\r\0 ', max_size=6),
    st.floats().map(str),
    st.datetimes().map(str),
    st.integers().map(str),
    st.sampled_from(["1700000000", "2024-01-01T00:00:00Z", "10:00", "nan", "0001-01-01T00:00:00+23:59", "1e400"]),
)


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    header=st.lists(st.sampled_from(["ts", "time", "date", "device", "v", "site", "label", "", "x"]), max_size=5),
    rows=st.lists(st.lists(CELLS, max_size=5), max_size=8),
    separator=st.sampled_from(",;\t|"),
)
def test_cells_of_any_kind_raise_nothing(tmp_path, header, rows, separator):
    file = tmp_path / "fuzz.csv"
    lines = [separator.join(cells) for cells in [header, *rows]]
    file.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    for one in read_csv(file):
        assert isinstance(one, CsvError | CsvReading)
        if isinstance(one, CsvReading):
            assert one.reading["values"]
            assert 0 <= one.reading["ts"] < 4_102_444_800_000


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=400), header=st.sampled_from([b"", b"ts,v\n", b"time;device;a\n"]))
def test_bytes_of_any_kind_raise_nothing(tmp_path, content, header):
    file = tmp_path / "fuzz.csv"
    file.write_bytes(header + content)
    assert all(isinstance(one, CsvError | CsvReading) for one in read_csv(file))


@pytest.mark.skipif(not DATA.exists(), reason="the labelled data is not part of the repository")
def test_every_row_of_the_labelled_data_is_a_reading():
    for file in [*DATA.glob("nab/realKnownCause/*.csv"), *DATA.glob("skab/valve1/*.csv")]:
        found = list(read_csv(file))
        assert len(readings(found)) > 500
        assert not {"anomaly", "changepoint"} & set(found[0].reading["values"])

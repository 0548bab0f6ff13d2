"""Tables: what is found out about them, and what is said of bad rows."""

import pytest

from watchkeeper.errors import DecodeError
from watchkeeper.intake.bodies import readings_of
from watchkeeper.intake.sent import Bad, SentReading, fault_of


def read(body, device=""):
    return readings_of(body, "csv", device)


def reasons(found):
    return [item.reason if isinstance(item, Bad) else "" for item in found]


def test_csv_has_devices_times_sites_tags_and_values_by_column():
    header = b"\xef\xbb\xbfdevice, time ,site,tag.line,flow,pressure\r\n"
    body = header + b"pump-1,1795000000000,north,7, 1.5 ,\r\n\r\npump-2,,,,2,3\r\n"
    assert read(body) == [
        SentReading({"flow": 1.5, "pressure": None}, "pump-1", 1_795_000_000_000, {"line": "7"}, "north"),
        SentReading({"flow": 2.0, "pressure": 3.0}, "pump-2"),
    ]


def test_csv_times_may_be_iso_8601_and_quoted_cells_may_hold_commas():
    body = b'timestamp,device,"flow, m3/h",tag.name\n2026-11-18T12:00:00,p,"1","a, b"\n'
    assert read(body) == [SentReading({"flow, m3/h": 1.0}, "p", "2026-11-18T12:00:00", {"name": "a, b"})]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_separator_and_encoding_of_csv_are_found(separator, encoding, ending):
    rows = [["device", "ts", "Druck außen", "flow"], ["p", "1795000000000", "1.5", ""], ["q", "", "-2e3", "7"]]
    text = ending.join(separator.join(row) for row in rows)
    body = ("\ufeff" * (encoding == "utf-16-be") + text).encode(encoding)
    assert read(body) == [
        SentReading({"Druck außen": 1.5, "flow": None}, "p", 1_795_000_000_000),
        SentReading({"Druck außen": -2000.0, "flow": 7.0}, "q"),
    ]


@pytest.mark.parametrize(
    ("header", "names", "row"),
    [
        ("device,a;b;c;d", ["a;b;c;d"], "p,1"),
        ("device;a,b,c,d;e", ["a,b,c,d", "e"], "p;1;1"),
        ('device,"a; b; c","d | e"', ["a; b; c", "d | e"], "p,1,1"),
        ('"device"\t"a, b, c, d"', ["a, b, c, d"], "p\t1"),
        ('"a\n,b";device', ["a\n,b"], "1;p"),
    ],
)
def test_a_separator_within_a_name_separates_nothing(header, names, row):
    assert read(f"{header}\n{row}\n".encode()) == [SentReading(dict.fromkeys(names, 1.0), "p")]


def test_a_decimal_comma_is_understood_where_the_comma_does_not_separate():
    found = read(b"device;flow\np;71,5\np;1,2,3\np;1.234,5\np;,\n")
    assert found[0] == SentReading({"flow": 71.5}, "p")
    assert [isinstance(item, Bad) for item in found[1:]] == [True, True, True]
    assert found[1].body == b"p;1,2,3"
    assert isinstance(read(b'device,flow\np,"71,5"\n')[0], Bad)


def test_rows_that_name_no_device_are_those_of_the_device_that_was_named_for_them():
    assert read(b"flow\n1\n", "pump-9") == [SentReading({"flow": 1.0}, "pump-9")]
    found = read(b"device,flow\n,1\npump-1,2\n", "pump-9")
    assert [item.device for item in found] == ["pump-9", "pump-1"]


def test_a_bad_row_of_csv_is_told_apart_from_its_neighbours():
    found = read(b"device,flow\na,1\nb\nc,2,3\nd,warm\ne,5\nf,nan\n")
    assert reasons(found[:5]) == [
        "",
        "1 cells for 2 columns",
        "3 cells for 2 columns",
        "column 'flow': 'warm' is not a number",
        "",
    ]
    assert [item.body for item in found[1:4]] == [b"b", b"c,2,3", b"d,warm"]
    assert "finite number" in fault_of(found[5])


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "the first row must name the columns"),
        (b"flow,pressure\n1,2\n", "no column of the first row"),
        (b"device,flow,flow\na,1,2\n", "once each"),
        (b"device,ts,time,flow\na,1,2,3\n", "'ts' and 'time' both name the time"),
        (b'device,flow\n"a,1\n', "not CSV"),
        (b"device,flow\n\xff,1\n", "not CSV in UTF-8"),
        (b"\xff\xfed\x00e", "not CSV in UTF-8, or in UTF-16"),
        ("device,flow\np,1\n".encode("utf-16-le"), "no column of the first row"),
        (b"flow\n1\n", r"name the device in the query, as \?device=NAME"),
    ],
)
def test_csv_without_a_sound_first_row_or_that_cannot_be_parsed_is_refused_as_a_whole(body, why):
    with pytest.raises(DecodeError, match=why):
        read(body)

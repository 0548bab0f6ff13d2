"""A great deal at once, to a real server: uploads and a watched folder, in bounded memory."""

import itertools
import time

import psutil
import pytest

MB = 1_000_000
CELLS = ",".join(f"{i}.{'1234567890' * 12}" for i in range(8))


def rows(count, now):
    """Chunks of a table of `count` rows of about a kilobyte."""
    yield b"ts,device," + b",".join(b"m%d" % i for i in range(8)) + b"\n"
    for start in range(0, count, 100):
        numbers = range(start, min(start + 100, count))
        yield "".join(f"{now + i},dev-{i % 20},{CELLS}\n" for i in numbers).encode()


@pytest.mark.slow
def test_an_upload_of_50_mb_that_is_cut_off_and_sent_again_is_stored_once_in_bounded_memory(up):
    server = psutil.Process(up.process.pid)
    count, now = 50_000, int(time.time() * 1000) - 100_000_000
    headers = {"content-type": "text/csv", "idempotency-key": "whole"}
    before = peak = server.memory_info().rss
    sent = 0

    def cut_off():
        yield from itertools.islice(rows(count, now), 200)
        raise ConnectionError

    def whole():
        nonlocal peak, sent
        for chunk in rows(count, now):
            peak = max(peak, server.memory_info().rss)
            sent += len(chunk)
            yield chunk

    with pytest.raises(ConnectionError):
        up.http.post(f"{up.url}/ingest/upload", content=cut_off(), headers=headers, timeout=100)
    assert 0 < up.get("/api/status")["readings"]["accepted"] < count
    for _ in range(2):
        answer = up.http.post(f"{up.url}/ingest/upload", content=whole(), headers=headers, timeout=100)
        assert (answer.status_code, answer.json()["accepted"], answer.json()["rejected_count"]) == (202, count, 0)
    assert sent > 2 * 50 * MB
    assert peak - before < 100 * MB
    readings = up.drained()["readings"]
    assert (readings["accepted"], readings["stored"], readings["deduplicated"]) == (count, count, 0)


@pytest.mark.slow
def test_files_in_a_watched_folder_are_taken_also_across_a_kill(up_with, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    up = up_with("--watch-folder", str(folder))
    name = folder / "press-4.csv"
    now = int(time.time() * 1000) - 10_000_000
    text = "".join(f"{now + i},{i}.5,{'x' * 120}\n" for i in range(20_000))
    (folder / ".press-4.csv").write_text(f"ts,force,tag.note\n{text}")
    (folder / ".press-4.csv").rename(name)
    until = time.monotonic() + 30
    while not up.get("/api/status")["readings"]["accepted"] and time.monotonic() < until:
        time.sleep(0.02)
    up.kill()
    assert name.exists()
    up.start()
    while name.exists() and time.monotonic() < until + 30:
        time.sleep(0.1)
    assert (folder / "done" / "press-4.csv").exists(), up.log()
    status = up.drained()
    assert status["readings"]["stored"] == 20_000
    assert status["readings"]["deduplicated"] == 0
    assert status["readings"]["dead"] == 0

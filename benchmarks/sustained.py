"""How much a whole `watchkeeper up` carries for how long, with the load generator on the same processors.

Readings of about 200 bytes and four metrics, in HTTP batches of 100, 0.1 % of them sent twice. Without `--rate` the
highest rate at which nothing piles up is searched for first. It fails when the readings do not add up.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
from load_http import Plan, Report
from results import save
from running import Look, Watch, check_accounting, free_ports, is_steady, percentiles, up

GENERATOR = str(Path(__file__).with_name("load_http.py"))
FIRST_RATE = 4_000.0
GROWTH, FINEST = 1.5, 1.07


class Outcome(msgspec.Struct):
    """What one run came to. Rates are readings a second; CPU is in processors; memory is the most of all processes."""

    form: str
    rate: float
    seconds: float
    accepted_per_s: float
    stored_per_s: float
    steady: bool
    latency_ms: dict[str, float | None]
    latency_by_load_ms: float
    answer_ms: tuple[float, ...]
    in_flight: list[int]
    drained_s: float
    pss_mb: float
    rss_mb: float
    cpu: dict[str, float]
    counts: dict[str, int]
    repeated: int
    late: int
    slowed: int
    anomalies: int
    bytes_a_reading: float
    stored_bytes_a_reading: float


class Bench:
    """A running Watchkeeper, to which one load after another is given."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.accepted = self.repeated = 0

    def run(self, plan: Plan) -> Outcome:
        """One load, from an empty pipeline to an empty pipeline. AssertionError: the readings do not add up."""
        command = [sys.executable, GENERATOR, msgspec.json.encode(plan).decode()]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as generator:  # noqa: S603 - ours
            assert generator.stdout is not None
            generator.stdout.readline()
            began = self.watch.look()
            before = self.watch.latencies()
            ended = self._last_look(began.at + plan.seconds)
            after = self.watch.latencies()
            answer = generator.stdout.read()
        assert generator.returncode == 0, "the load generator has failed"
        report = msgspec.json.decode(answer, type=Report)
        assert not report.refused, f"{report.refused} readings were refused"
        self.accepted += report.accepted
        self.repeated += report.repeated
        last, drained = self.watch.drained(self.accepted)
        check_accounting(last, self.accepted, self.repeated if not report.slowed else None)
        return self._outcome(plan, report, began, ended, last, drained, percentiles(before, after))

    def _last_look(self, until: float) -> Look:
        time.sleep(max(0.0, until - time.time()))
        return self.watch.look()

    def _outcome(
        self,
        plan: Plan,
        report: Report,
        began: Look,
        ended: Look,
        last: Look,
        drained: float,
        latency: dict[str, float | None],
    ) -> Outcome:
        looks = [look for look in self.watch.looks if began.at <= look.at <= ended.at] or [began, ended]
        seconds = ended.at - began.at
        stored = (ended.counts["stored"] - began.counts["stored"]) / seconds
        waiting = [look.in_flight for look in looks]
        cpu = {name: (ended.cpu[name] - began.cpu.get(name, 0.0)) / seconds for name in ended.cpu}
        return Outcome(
            form=plan.form,
            rate=plan.rate,
            seconds=seconds,
            accepted_per_s=(ended.counts["accepted"] - began.counts["accepted"]) / seconds,
            stored_per_s=stored,
            steady=is_steady(waiting, stored),
            latency_ms=latency,
            latency_by_load_ms=1000 * statistics.mean(waiting) / stored if stored else 0.0,
            answer_ms=report.answer_ms,
            in_flight=waiting,
            drained_s=drained,
            pss_mb=max(look.pss_mb for look in looks),
            rss_mb=max(look.rss_mb for look in looks),
            cpu=cpu | {"load generator": report.cpu_s / report.wall_s},
            counts=last.counts,
            repeated=self.repeated,
            late=report.late,
            slowed=report.slowed,
            anomalies=last.anomalies,
            bytes_a_reading=report.bytes_a_reading,
            stored_bytes_a_reading=1e6 * last.stored_mb / max(last.counts["stored"], 1),
        )

    def highest_rate(self, plan: Plan, seconds: float) -> float:
        """The highest rate at which readings are stored as fast as they come, found by steps of so many seconds."""

        def holds(rate: float) -> bool:
            found = self.run(msgspec.structs.replace(plan, rate=rate, seconds=seconds, warm_up=2.0))
            took = found.steady and found.stored_per_s >= 0.95 * rate and found.drained_s < 2.0
            print(
                f"  {rate:>10,.0f} readings/s: {'holds' if took else 'piles up'}, stored {found.stored_per_s:,.0f}/s, "
                f"under way at the end {found.in_flight[-1]:,}",
                flush=True,
            )
            return took

        low, high = 0.0, plan.rate or FIRST_RATE
        while holds(high):
            low, high = high, high * GROWTH
        if not low:
            low = high / 4
        while high / low > FINEST:
            middle = (low * high) ** 0.5
            low, high = (middle, high) if holds(middle) else (low, middle)
        return low


def show(outcome: Outcome) -> None:
    latency, waiting = outcome.latency_ms, outcome.in_flight
    middle = statistics.median(waiting)
    counts = " + ".join(f"{count:,}" for count in outcome.counts.values())
    rows = [
        ("accepted, readings/s", f"{outcome.accepted_per_s:,.0f}"),
        ("stored, readings/s", f"{outcome.stored_per_s:,.0f}"),
        ("for", f"{outcome.seconds:.0f} s"),
        ("steady", "yes" if outcome.steady else "NO: it piles up"),
        ("under way, least / median / most", f"{min(waiting):,} / {middle:,.0f} / {max(waiting):,}"),
        ("accepted to stored, p50 / p95 / p99", " / ".join(_ms(latency[name]) for name in ("p50", "p95", "p99"))),
        ("the same on average, by what is under way", _ms(outcome.latency_by_load_ms)),
        ("answer 202, p50 / p95 / p99", " / ".join(_ms(each) for each in outcome.answer_ms)),
        ("memory of all processes, PSS / RSS", f"{outcome.pss_mb:,.0f} / {outcome.rss_mb:,.0f} MB"),
        *((f"CPU, {name}", f"{share:.2f}") for name, share in outcome.cpu.items()),
        ("sent twice / deduplicated", f"{outcome.repeated:,} / {outcome.counts['deduplicated']:,}"),
        ("bytes a reading, sent / on disk", f"{outcome.bytes_a_reading:.0f} / {outcome.stored_bytes_a_reading:.0f}"),
        ("sent later than due, bodies", f"{outcome.late:,}"),
        ("told to slow down, readings", f"{outcome.slowed:,}"),
        ("anomalies", f"{outcome.anomalies:,}"),
        ("accepted = stored + dead + deduplicated + shed", counts.replace(" + ", " = ", 1)),
    ]  # fmt: skip
    for name, value in rows:
        print(f"  {name:<48} {value:>24}")


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms"


def measure(asked: argparse.Namespace) -> list[Outcome]:
    """Search the rate if none is given, then hold it. One `watchkeeper up` for each form of bodies."""
    outcomes = []
    for form in asked.form or ["json"]:
        http, mqtt = free_ports()
        flags = ["--requests-per-second", "0", "--no-canary", *asked.flags]  # its readings would be counted too
        with (
            tempfile.TemporaryDirectory() as folder,
            up(folder, http, mqtt, flags) as process,
            Watch(process.pid, http) as watch,
        ):
            bench = Bench(watch)
            plan = Plan(http, asked.seconds, connections=asked.connections, devices=asked.devices, form=form)
            bench.run(msgspec.structs.replace(plan, rate=FIRST_RATE, seconds=asked.warm_up))
            rate = asked.rate
            if rate is None:
                print(f"{form}: the highest rate at which nothing piles up", flush=True)
                rate = bench.highest_rate(plan, asked.step) * asked.margin
            print(f"{form}: {'as fast as it is taken' if not rate else f'{rate:,.0f} readings/s'}", flush=True)
            outcomes.append(bench.run(msgspec.structs.replace(plan, rate=rate, warm_up=3.0)))
            show(outcomes[-1])
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of the run that counts")
    parser.add_argument("--rate", type=float, help="readings a second; 0: as fast as taken; default: the highest")
    parser.add_argument("--form", action="append", choices=("json", "ndjson", "msgpack"), help="default: json")
    parser.add_argument("--devices", type=int, default=1_000)
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--step", type=float, default=8.0, help="seconds at each rate of the search")
    parser.add_argument("--margin", type=float, default=0.93, help="the share of the highest rate that is then held")
    parser.add_argument("--warm-up", type=float, default=12.0, help="seconds in which devices become known")
    parser.add_argument("--save", default="", help="name of a file in benchmarks/results")
    parser.add_argument("flags", nargs="*", help="flags of `watchkeeper up`, after --")
    asked = parser.parse_args()
    outcomes = measure(asked)
    if asked.save:
        save(asked.save, outcomes)


if __name__ == "__main__":
    main()

"""`watchkeeper models`: the detection model in force, its earlier versions, and how far data have drifted from it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from watchkeeper.class_knowledge import latest_classes, learn_classes
from watchkeeper.errors import ConfigError
from watchkeeper.model_drift import latest_drift, measure_drift
from watchkeeper.published import current_pin, model_versions, pin_model, roll_back_model
from watchkeeper.records import DEFAULT_TENANT
from watchkeeper_local.node import clock, open_node
from watchkeeper_local.sqlite.ports import FILE_NAME
from watchkeeper_local.training import retrain_now

if TYPE_CHECKING:
    from watchkeeper.detection.classes import ClassBook
    from watchkeeper.model_drift import DriftReport
    from watchkeeper_local.settings import Settings

SHOWN = 5  # metrics that have drifted most


def manage_models(settings: Settings, action: str, version: str) -> int:
    """List, train, pin, unpin, roll back, or look at drift. ModelError: no such model, or too little to learn from."""
    if (action == "pin") != bool(version):
        message = "`models pin` needs a version, the other actions none; `models list` shows them"
        raise ConfigError(message)
    if not (Path(settings.data_dir) / FILE_NAME).exists():
        message = f"{settings.data_dir}: no Watchkeeper has kept data there; name its folder with --data-dir"
        raise ConfigError(message)
    ports, _ = open_node(settings, durable=True)
    try:
        if action == "train":
            print(retrain_now(ports, settings.shards))
        elif action == "pin":
            pin_model(ports.blobs, version)
        elif action == "unpin":
            pin_model(ports.blobs, current_pin(ports.blobs).version, pinned=False)
        elif action == "drift":
            measure_drift(ports, settings.shards, clock())
            learn_classes(ports, settings.shards, clock())
        elif action == "rollback":
            roll_back_model(ports.blobs)
        pin = current_pin(ports.blobs)
        for name in model_versions(ports.blobs):
            in_force = ("  in force, pinned" if pin.pinned else "  in force") if name == pin.version else ""
            print(f"{name}{in_force}")
        if not pin.version:
            print("no model is in force yet: readings are scored by their devices' baselines alone")
        report = latest_drift(ports.blobs)
        print("\n".join(_told(report) if report else ["drift has not been looked at yet; `models drift` does now"]))
        print("\n".join(_of_classes(latest_classes(ports.blobs))))
    finally:
        ports.close()
    return 0


def _of_classes(book: ClassBook | None) -> list[str]:
    """Of each class the factor on its bar, the reviews it comes from, and how many metrics new devices are held to."""
    classes = [(tenant, *each) for tenant, of in (book.tenants if book else {}).items() for each in of.items()]
    return [
        f"class {name}{'' if tenant == DEFAULT_TENANT else f' of {tenant}'}: bar x{known.factor:.2f} "
        f"({known.confirmed} reviews confirmed, {known.rejected} rejected), "
        f"{len(known.metrics)} metrics known to new devices"
        for tenant, name, known in classes
    ]


def _told(report: DriftReport) -> list[str]:
    when = datetime.fromtimestamp(report.ts / 1000, UTC).isoformat(timespec="minutes")
    against = f"from what {report.model} learnt from" if report.model else "as there is no model"
    lines = [f"the day before {when}: {report.drifted} of {report.series} series have drifted {against}"]
    lines += [
        f"  {metric.metric}: {metric.drifted} of {metric.series}, index {metric.index:.2f}"
        for metric in report.metrics[:SHOWN]
    ]
    said = "more than the target explains" if report.loud else "within what the target explains"
    lines.append(
        f"{report.openings_a_week:.2f} openings a week for a device, the target is {report.target_a_week:g}: {said}; "
        f"{report.anomalous:.2%} of readings anomalous"
    )
    lines += [
        f"reviewed in the week of {week.week}: {week.share:.0%} of {week.confirmed + week.rejected} confirmed"
        for week in report.precision
    ]
    return lines

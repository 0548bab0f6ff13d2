"""The final series: immutable segments of readings, how they are merged, and how they are asked."""

from watchkeeper.series.latency import percentile
from watchkeeper.series.query import DeviceHistory, Rows, SeriesResult, history, latest, query, readings

__all__ = ["DeviceHistory", "Rows", "SeriesResult", "history", "latest", "percentile", "query", "readings"]

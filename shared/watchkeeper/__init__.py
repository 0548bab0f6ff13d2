"""Watchkeeper's core: what the pipeline decides, with no cloud, database, web framework or socket in it."""

__version__ = "0.1.0"

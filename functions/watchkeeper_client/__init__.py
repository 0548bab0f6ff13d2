"""A client for applications: what they measure goes to Watchkeeper in the background. Standard library only."""

from watchkeeper_client.client import Client

__all__ = ["Client"]

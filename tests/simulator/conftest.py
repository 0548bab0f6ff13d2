"""A failing example explains itself; what the workers say of their troubles would bury it."""

import logging

import pytest


@pytest.fixture(autouse=True, scope="module")
def _quiet_workers():
    logger = logging.getLogger("watchkeeper")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    yield
    logger.setLevel(before)

"""A Ray of this machine with two workers, for all tests of a module."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

ray = pytest.importorskip("ray", reason="the engine ray needs the extra 'ray'")


@pytest.fixture(scope="module")
def two_workers() -> Iterator[None]:
    """Ray, with two CPUs, whatever the machine has."""
    ray.init(
        address="local",
        num_cpus=2,
        object_store_memory=200 * 10**6,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    yield
    ray.shutdown()

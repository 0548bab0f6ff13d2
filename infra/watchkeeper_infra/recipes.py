"""What the functions of each cloud carry: for which machine, which packages, and where in a zip things are."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

OPENAI, SKLEARN, FASTAPI = "openai", "scikit-learn", "fastapi"
BOTO = ("boto3", "botocore", "s3transfer")  # Lambda's runtime has them
WITHOUT = {
    "stream": (OPENAI, SKLEARN, FASTAPI),
    "explain": (SKLEARN, FASTAPI),
    "web": (OPENAI, SKLEARN),
    "train": (OPENAI, FASTAPI),
}
"""Direct dependencies that the functions of a kind do not carry."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a cloud's functions are packed.

    `lock` is the lock file, `provided` are packages that the runtime has, `packages_in` is where in a zip packages are
    looked for, `not_ours` are our own packages (or parts of them) that they do not run, `roots` are files of our own
    that lie at the root too, and `limit_mb` is what a kind may have when unpacked.
    """

    folder: str
    lock: str
    platform: str
    python: str
    packages_in: str
    limit_mb: Mapping[str, int]
    not_ours: tuple[str, ...]
    provided: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()

    def without(self, kind: str) -> tuple[str, ...]:
        """The direct dependencies that functions of a kind do not carry."""
        return (*self.provided, *WITHOUT[kind])


RECIPES = {
    "aws": Recipe(
        folder="build/bundles",
        lock="requirements/aws.txt",
        platform="aarch64-manylinux_2_28",
        python="3.13",
        packages_in="python/",
        limit_mb={"stream": 90, "explain": 250, "web": 250, "train": 250},
        not_ours=("watchkeeper_local", "watchkeeper_client", "watchkeeper_azure"),
        provided=BOTO,
    ),
    "azure": Recipe(
        folder="build/packages",
        lock="requirements/azure.txt",
        platform="x86_64-manylinux_2_28",
        python="3.13",
        packages_in=".python_packages/lib/site-packages/",
        limit_mb={"stream": 120, "explain": 250, "web": 250, "train": 300},
        not_ours=("watchkeeper_local", "watchkeeper_client", "watchkeeper_aws", "watchkeeper_adapters/kafka"),
        roots=("functions/watchkeeper_azure/function_app.py", "functions/watchkeeper_azure/host.json"),
    ),
}

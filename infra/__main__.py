"""What `pulumi up` runs: it reads the stack's configuration, and builds the stack in the cloud that is named there."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "shared")]  # a fresh clone, nothing installed but pulumi


def main() -> None:
    """Build the stack, or say what is wrong with its configuration."""
    from watchkeeper_infra.program import build

    build(Path(__file__).resolve().parents[1])


main()

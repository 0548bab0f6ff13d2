"""What `pulumi up` runs: it reads the stack's configuration, and builds the stack in the cloud that is named there."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("infra", "shared")]  # a fresh clone, nothing installed but Pulumi


def main() -> None:
    """Build the stack, or say what is wrong with its configuration."""
    from watchkeeper_infra.program import build

    build(ROOT)


main()

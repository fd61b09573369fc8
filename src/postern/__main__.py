"""The door: ``postern`` and ``python -m postern``."""

import sys

from postern.cli.root import postern_main


def main() -> None:
    """Run the command line, and exit with its code."""
    sys.exit(postern_main(sys.argv[1:], sys.argv[0]))


if __name__ == "__main__":
    main()

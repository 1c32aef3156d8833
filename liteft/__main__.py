"""``python -m liteft``, for when the script ``liteft`` is not on the path."""

import sys

from liteft.cli import main

if __name__ == "__main__":
    sys.exit(main())

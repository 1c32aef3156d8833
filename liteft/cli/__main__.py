"""``python -m liteft.cli``, for when the script ``liteft`` is not on the path."""

import sys

from liteft.cli import main

sys.exit(main())

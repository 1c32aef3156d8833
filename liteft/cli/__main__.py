"""``python -m liteft.cli``, where the script ``liteft`` is not on the path."""

import sys

from liteft.cli import main

sys.exit(main())

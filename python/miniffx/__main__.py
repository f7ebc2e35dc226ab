"""``python -m miniffx`` is the command ``miniffx``."""

import sys

from miniffx.cli import main

sys.exit(main())

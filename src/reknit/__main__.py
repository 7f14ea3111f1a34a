"""``python -m reknit`` is the command ``reknit``."""

import sys

from reknit.cli import main

sys.exit(main())

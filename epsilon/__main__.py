"""``python -m epsilon``: the ``epsilon`` command for a Python whose scripts are not on the path."""

import sys

from epsilon.cli import main

sys.exit(main())

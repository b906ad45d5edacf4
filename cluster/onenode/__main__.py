"""Entry point of `python -m onenode`."""

import sys

from onenode.cli import main

sys.exit(main())

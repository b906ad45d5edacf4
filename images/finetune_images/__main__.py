"""Entry point of `python -m finetune_images`."""

import sys

from finetune_images.cli import main

sys.exit(main())

"""`python -m alb_mixup`: the command line."""

import sys

from alb_mixup.cli import main

sys.exit(main())

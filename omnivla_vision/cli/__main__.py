"""`python3 -m omnivla_vision.cli`, where no console script is installed."""

import sys

from omnivla_vision.cli import main

sys.exit(main())

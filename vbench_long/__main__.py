"""``python -m vbench_long``."""

from vbench_long.cli import main

raise SystemExit(main())

"""Drives that fail.  The tests of `kill` measure times."""

import sys

import suite

if __name__ == "__main__":
    sys.exit(suite.main(("kill", "power", "drives", "start", "replace",
                         "full"), "kill"))

"""Memory that ends.  The tests of `many` measure times."""

import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "faults"))

import suite                # noqa: E402

if __name__ == "__main__":
    sys.exit(suite.main(("many", "nomem", "bodies", "zone"), "many"))

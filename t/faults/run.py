"""t/faults/run [--long] [MODULE[.TEST]...]: the tests of this directory."""

import importlib
import sys
import time
import traceback

MODULES = ("power", "kill", "drives", "full")


def main():
    arguments = sys.argv[1:]
    long = "--long" in arguments
    wanted = [a for a in arguments if not a.startswith("--")] or MODULES
    failed = 0
    for name in wanted:
        module, _, one = name.partition(".")
        m = importlib.import_module(module)
        for test in [t for t in vars(m) if t.startswith("test_")]:
            if one and test != "test_" + one:
                continue
            begin = time.monotonic()
            try:
                said = getattr(m, test)(long)
            except Exception:
                failed += 1
                said = "FAILED\n" + traceback.format_exc()
            print(f"{module}.{test[5:]}: {time.monotonic() - begin:.1f} s: "
                  f"{said}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

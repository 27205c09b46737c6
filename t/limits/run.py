"""The tests of this directory: test_* always, long_* with --long.

Those of `many` measure times and run alone, the others side by side.
"""

import concurrent.futures
import importlib
import subprocess
import sys
import time
import traceback

MODULES = ("many", "nomem", "bodies", "zone")
JOBS = 3


def names(module, long):
    for name in vars(importlib.import_module(module)):
        kind, _, rest = name.partition("_")
        if rest and (kind == "test" or (kind == "long" and long)):
            yield f"{module}.{rest}"


def run_here(name, long):
    module, _, test = name.partition(".")
    m = importlib.import_module(module)
    function = getattr(m, "test_" + test, None) or getattr(m, "long_" + test)
    begin = time.monotonic()
    try:
        said, status = function(long), 0
    except Exception:
        said, status = "FAILED\n" + traceback.format_exc(), 1
    print(f"{name:<16} {time.monotonic() - begin:6.1f} s  {said}", flush=True)
    return status


def run_apart(name, long):
    r = subprocess.run([sys.executable, "-B", __file__, "--one", name]
                       + ["--long"] * long, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT)
    print(r.stdout.decode(errors="replace"), end="", flush=True)
    return r.returncode


def main():
    long = "--long" in sys.argv
    wanted = [a for a in sys.argv[1:] if not a.startswith("--")]
    if "--one" in sys.argv:
        return run_here(wanted[0], long)
    tests = []
    for item in wanted or MODULES:
        tests += [item] if "." in item else names(item, long)
    alone = [t for t in tests if t.startswith("many.")]
    failed = sum(run_apart(t, long) for t in alone)
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        failed += sum(pool.map(lambda t: run_apart(t, long),
                               [t for t in tests if t not in alone]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

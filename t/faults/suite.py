"""Runs the tests of some modules, each in a process of its own: test_* always,
long_* with --long; all of them, or those that are named, or those that have to
be alone on the machine (--alone), or those that do not (--others).
"""

import concurrent.futures
import importlib
import signal
import subprocess
import sys
import time
import traceback

JOBS = 3


def interrupted(number, frame):
    """Once: what follows is cleaning up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def names(module, long):
    m = importlib.import_module(module)
    for name in vars(m):
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
    print(f"{name:<22} {time.monotonic() - begin:6.1f} s  {said}", flush=True)
    return status


def run_apart(name, long):
    r = subprocess.run([sys.executable, "-B", sys.argv[0], "--one", name]
                       + ["--long"] * long, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT)
    print(r.stdout.decode(errors="replace"), end="", flush=True)
    return r.returncode


def run_all(tests, jobs, long):
    """How many failed.  Not in the main thread: there subprocess kills what it
    waits for when it is interrupted, before that has cleaned up."""
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        return sum(pool.map(lambda t: run_apart(t, long), tests))


def main(modules, alone):
    """The exit status.  Tests of the module `alone` run one after the other,
    before all others."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    long = "--long" in sys.argv
    wanted = [a for a in sys.argv[1:] if not a.startswith("--")]
    if "--one" in sys.argv:
        return run_here(wanted[0], long)
    tests = []
    for item in wanted or modules:
        tests += [item] if "." in item else names(item, long)
    first = [t for t in tests if t.startswith(alone + ".")]
    others = [t for t in tests if t not in first]
    failed = 0
    if "--others" not in sys.argv:
        failed += run_all(first, 1, long)
    if "--alone" not in sys.argv:
        failed += run_all(others, JOBS, long)
    return 1 if failed else 0

"""System calls of processes: perf where it works, else strace.

perf counts without slowing the server down; strace slows it, so that more
requests are found in one turn of the event loop.
"""

import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time

TRACING = '/sys/kernel/tracing'
EVENT = 'raw_syscalls:sys_enter'


class Counter:
    """Counts while it is entered; then `calls` has the sum."""

    def __init__(self, pids):
        self.pids = pids
        self.calls = 0

    def __enter__(self):
        handle, self.file = tempfile.mkstemp(prefix='s3bench.')
        os.close(handle)
        self.start()

    def start(self, *options, **more):
        self.child = subprocess.Popen(
            [*self.command(), *options], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, **more)

    def __exit__(self, *error):
        self.child.send_signal(signal.SIGINT)
        try:
            self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        with open(self.file) as f:
            self.calls = self.parse(f.read())
        os.unlink(self.file)


class Perf(Counter):
    method = 'perf'

    def start(self):
        """It says when it counts: on a busy machine that takes its time."""
        orders, order = os.pipe()
        answer, answers = os.pipe()
        try:
            super().start('-D', '-1', '--control', f'fd:{orders},{answers}',
                          pass_fds=(orders, answers))
            os.write(order, b'enable\n')
            select.select([answer], [], [], 20)
        finally:
            for fd in (orders, order, answer, answers):
                os.close(fd)

    def command(self):
        return ['perf', 'stat', '-x,', '-o', self.file, '-e', EVENT, '-p',
                ','.join(map(str, self.pids))]

    def parse(self, text):
        found = re.search(r'^(\d+),.*' + EVENT, text, re.M)
        return int(found.group(1)) if found else 0


class Strace(Counter):
    method = 'strace'

    def start(self):
        super().start()
        time.sleep(0.5)             # until it is attached

    def command(self):
        attach = [word for pid in self.pids for word in ('-p', str(pid))]
        return ['strace', '-f', '-c', '-o', self.file, *attach]

    def parse(self, text):
        return sum(int(line.split()[3]) for line in text.splitlines()
                   if re.match(r' *\d+\.\d+ ', line)
                   and line.split()[-1] != 'total')


def perf_works():
    if shutil.which('perf') is None:
        return False
    done = subprocess.run(['perf', 'stat', '-x,', '-e', EVENT, 'true'],
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          text=True)
    return bool(re.search(r'^[1-9]\d*,.*' + EVENT, done.stderr, re.M))


def counter():
    """The class that can count here, or None."""
    if perf_works():
        return Perf
    return Strace if shutil.which('strace') else None

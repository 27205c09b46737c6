"""Profiles of a server during a window, by perf record."""

import os
import signal
import subprocess
import time

from . import system


class Profile:
    """Records while it is entered: NAME.perf, and its symbols, NAME.txt."""

    def __init__(self, directory, name, pids):
        self.data = os.path.join(directory, f'{name}.perf')
        self.text = os.path.join(directory, f'{name}.txt')
        self.pids = pids

    def __enter__(self):
        self.child = subprocess.Popen(
            ['perf', 'record', '-q', '-g', '-o', self.data, '-p',
             ','.join(map(str, self.pids))], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.5)             # until it is attached

    def __exit__(self, *error):
        self.child.send_signal(signal.SIGINT)
        self.child.wait()
        with open(self.text, 'w') as f:
            subprocess.run(['perf', 'report', '--stdio', '--no-children', '-g',
                            'none', '-i', self.data], stdout=f,
                           stderr=subprocess.DEVNULL, check=False)


def directory(path):
    """Where profiles go; perf has to be there."""
    system.install('linux-perf:perf')
    os.makedirs(path, exist_ok=True)
    return path

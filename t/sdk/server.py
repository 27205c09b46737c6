"""One ./serve as a process, for the tests."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(TOP / "t" / "lib"))

from machine import alive, children, free_port     # noqa: E402


class Server:
    """A store in a directory of its own; start() and stop() as one likes."""

    def __init__(self, data, *options):
        self.data = pathlib.Path(data)
        self.options = options
        self.port = free_port()
        self.process = None
        self.access_key = self.secret_key = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        self.data.mkdir(parents=True, exist_ok=True)
        self.output = open(self.data / "serve.out", "ab")
        begin = self.output.tell()
        self.process = subprocess.Popen(
            [str(TOP / "serve"), "--port", str(self.port),
             "--data", str(self.data), *self.options],
            stdin=subprocess.DEVNULL, stdout=self.output,
            stderr=subprocess.STDOUT, start_new_session=True,
            preexec_fn=Server.heed)
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            text = (self.data / "serve.out").read_bytes()[begin:].decode()
            for line in text.splitlines():
                if line.startswith("ready "):
                    fields = dict(f.split("=", 1) for f in line.split()[2:])
                    self.access_key = fields["access-key"]
                    self.secret_key = fields["secret-key"]
                    assert line.split()[1] == self.url
                    return self
            if self.process.poll() is not None:
                raise RuntimeError(f"serve ended:\n{text}{self.log()}")
            time.sleep(0.05)
        self.kill()
        raise RuntimeError("serve is not ready in time")

    @staticmethod
    def heed():
        """What was ignored where we come from is not there."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    def log(self):
        path = self.data / "error.log"
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""

    def pids(self):
        """Master first, then the workers."""
        try:
            master = int((self.data / "nginx.pid").read_text())
        except (OSError, ValueError):
            return []
        return [master, *children(master)]

    def stop(self, with_signal=signal.SIGTERM):
        """The clean way; returns the seconds that it took."""
        if self.process is None or self.process.poll() is not None:
            return 0
        pids = self.pids()
        begin = time.monotonic()
        self.process.send_signal(with_signal)
        try:
            status = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        took = time.monotonic() - begin
        self.output.close()
        left = [pid for pid in pids if alive(pid)]
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert not left, "nginx processes outlive serve"
        assert status == 0, f"serve ends with {status}"
        return took

    def kill(self):
        """kill -9 of serve and all of nginx, the master first."""
        pids = self.pids()
        if self.process and self.process.poll() is None:
            pids.append(self.process.pid)
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.process:
            self.process.wait()
            self.output.close()
        deadline = time.monotonic() + 10
        while any(alive(pid) for pid in pids):
            assert time.monotonic() < deadline, "a process survives SIGKILL"
            time.sleep(0.02)

    def remove(self):
        shutil.rmtree(self.data, ignore_errors=True)

"""A server over drives that can be made to fail, and their cleaning up.

Drives are directories, loop mounts of ext4 and xfs, or mounts of faultfs.  All
that a World has made is undone by its close(), whatever has happened.
"""

import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(TOP / "t" / "lib"))

from machine import alive, children, file_of, free_port    # noqa: E402
from machine import name_of, numbers                       # noqa: E402

BUILD = pathlib.Path(os.environ.get("S3_FAULTS_BUILD", TOP / "build"))
NGINX = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
MODULE = pathlib.Path(os.environ.get(
    "S3_FAULTS_MODULE", BUILD / "ngx_http_s3_module.so"))
FAULTFS = BUILD / "faultfs"
PROBE = BUILD / "probe"

# of faultfs
NO_READ, NO_WRITE, NO_SYNC, READ_ONLY, HANG_DATA, HANG_ALL, NO_SPACE = range(7)

# linux/fs.h, the same for ext4 and xfs: nothing more reaches the disk
FS_IOC_SHUTDOWN = 0x8004587D
SHUTDOWN_NOLOGFLUSH = 2


def sh(*command, check=True):
    r = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT)
    if check and r.returncode:
        raise RuntimeError(f"{command}: {r.stdout.decode()}")
    return r.stdout.decode()


def until(what, seconds, check, every=0.1):
    """Waits for check() to be true, and returns how long it took."""
    begin = time.monotonic()
    while True:
        if check():
            return time.monotonic() - begin
        if time.monotonic() - begin > seconds:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(every)


class Directory:
    """A plain directory; `away` and `back` take it off and on again."""

    def __init__(self, world, index):
        self.path = world.top / f"drive{index}"
        self.hidden = world.top / f"away{index}"
        self.path.mkdir()

    def off(self):
        self.away()

    def on(self):
        self.back()

    def away(self):
        self.path.rename(self.hidden)

    def back(self):
        self.hidden.rename(self.path)

    def close(self):
        pass


class Loop:
    """A file system of its own in a file."""

    def __init__(self, world, index, kind="ext4", size="1G", backing=None):
        self.kind = kind
        self.path = world.top / f"drive{index}"
        self.image = pathlib.Path(backing or world.top) / f"image{index}"
        self.path.mkdir()
        self.size = int(size[:-1]) * {"M": 2**20, "G": 2**30}[size[-1]]
        self.mounted = False
        self.device = None
        self.make()
        self.mount()

    def make(self):
        with open(self.image, "wb") as f:
            f.truncate(self.size)
        if self.kind == "ext4":
            sh("mkfs.ext4", "-q", "-E", "nodiscard,lazy_itable_init=1",
               "-m", "0", self.image)
        else:
            sh("mkfs.xfs", "-q", "-K", "-f", self.image)

    def mount(self, options="noatime"):
        if self.device is None:
            self.device = sh("losetup", "--find", "--show",
                             self.image).strip()
        try:
            sh("mount", "-t", self.kind, "-o", options, self.device, self.path)
        except RuntimeError:
            sh("losetup", "-d", self.device)
            self.device = None
            raise
        self.mounted = True

    def off(self):
        self.umount()

    def on(self):
        self.mount()

    def shutdown(self):
        fd = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, FS_IOC_SHUTDOWN,
                        struct.pack("I", SHUTDOWN_NOLOGFLUSH))
        finally:
            os.close(fd)

    def umount(self, lazy=False):
        if self.mounted:
            sh("umount", *(["-l"] if lazy else []), self.path)
            self.mounted = False
        # what is still in use goes on being the same file system
        if self.device and not lazy:
            sh("losetup", "-d", self.device, check=False)
            self.device = None

    def close(self):
        if self.mounted:
            sh("umount", self.path, check=False)
            if os.path.ismount(self.path):
                sh("umount", "-l", self.path, check=False)
            self.mounted = False
        if self.device:
            sh("losetup", "-d", self.device, check=False)
            self.device = None


class Faulty:
    """A directory behind faultfs, with switches."""

    def __init__(self, world, index):
        self.source = world.top / f"source{index}"
        self.path = world.top / f"drive{index}"
        self.switches = world.top / f"switches{index}"
        self.source.mkdir()
        self.path.mkdir()
        self.switches.write_bytes(bytes(4096))
        self.process = None
        self.mount()

    def mount(self):
        self.process = subprocess.Popen(
            [str(FAULTFS), str(self.switches), str(self.source),
             str(self.path), "-f", "-o", "allow_other,max_threads=64,max_idle_threads=64"],
            stdin=subprocess.DEVNULL)
        until("faultfs is mounted", 10, lambda: os.path.ismount(self.path))

    def off(self):
        self.umount()

    def on(self):
        self.mount()

    def set(self, *which):
        with open(self.switches, "r+b") as f:
            f.write(bytes(1 if i in which else 0 for i in range(8)))

    def umount(self):
        sh("umount", "-l", self.path)
        self.process.wait(10)
        self.process = None

    def close(self):
        self.set()
        sh("umount", "-l", self.path, check=False)
        if self.process:
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None


CONF = """
load_module "{module}";
user root;
worker_processes {workers};
worker_shutdown_timeout 60s;
{main}
pid "{top}/nginx.pid";
error_log "{top}/error.log" {level};
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path "{top}/temp";
    keepalive_requests 100000;
    s3_drives {drives};
    {more}
    s3_credentials "{top}/credentials";
    s3_region us-east-1;
    server {{
        listen 127.0.0.1:{port} {listen};
        client_max_body_size 0;
        location / {{ s3; }}
        location /-/ {{ s3_status; }}
    }}
}}
"""

KEYS = ("S3FAULTS", "secretsecretsecretsecret")


class World:
    """Drives and one server, in a directory that goes at the end."""

    def __init__(self, kinds, parity=None, workers=3, more="", listen="",
                 main="", level="info"):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="s3-faults-"))
        self.drives = []
        self.port = free_port()
        self.master = None
        self.under = []  # what runs nginx
        self.began = None
        self.seen = 0
        try:
            for i, kind in enumerate(kinds):
                self.drives.append(kind(self, i + 1))
            if parity is not None:
                more += f"\n    s3_parity {parity};"
            (self.top / "credentials").write_text(":".join(KEYS) + "\n")
            (self.top / "credentials").chmod(0o600)
            (self.top / "nginx.conf").write_text(CONF.format(
                module=MODULE, workers=workers, top=self.top, port=self.port,
                drives=" ".join(f'"{d.path}"' for d in self.drives),
                more=more, main=main, listen=listen, level=level))
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind and not issubclass(kind, KeyboardInterrupt):
            print(self.log()[-6000:])
        self.close()

    def command(self):
        return [NGINX, "-e", str(self.top / "error.log"),
                "-c", str(self.top / "nginx.conf")]

    def start(self, seconds=30):
        """As a daemon: one whose parent stays ignores USR2."""
        begin = time.monotonic()
        (self.top / "nginx.pid").unlink(missing_ok=True)
        self.began = subprocess.Popen(self.under + self.command(),
                                      stdin=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL,
                                      stderr=subprocess.STDOUT)
        until("the server answers", seconds, self.answers, 0.02)
        self.began.wait(10)
        return time.monotonic() - begin

    def answers(self):
        if self.began.poll():
            raise RuntimeError("nginx ended: " + self.log()[-3000:])
        try:
            self.master = int((self.top / "nginx.pid").read_text())
            with socket.create_connection(("127.0.0.1", self.port), 1) as s:
                s.settimeout(5)
                s.sendall(b"GET / HTTP/1.0\r\n\r\n")
                return s.recv(12).startswith(b"HTTP/1.1 4")
        except (OSError, ValueError):
            return False

    def pid(self):
        """The master of now: after a binary upgrade another one."""
        try:
            return int((self.top / "nginx.pid").read_text())
        except (OSError, ValueError):
            return self.master

    def status(self):
        url = f"http://127.0.0.1:{self.port}/-/status"
        with urllib.request.urlopen(url, timeout=10) as r:
            return json.load(r)

    def healed(self):
        return all(d["state"] == "ok" and d["repairs_pending"] == 0
                   for d in self.status()["drives"])

    def workers(self):
        return children(self.pid())

    def kill_workers(self, pids=None):
        """One that is about to end anyway may have ended."""
        for pid in self.workers() if pids is None else pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def all_pids(self):
        """All that have a file of this world open: masters, workers, of before
        an upgrade and without a master, too."""
        found = set()
        for pid in numbers("/proc"):
            if name_of(pid) == "nginx" and alive(pid) and \
                    any(file_of(pid, fd).startswith(str(self.top))
                        for fd in numbers(f"/proc/{pid}/fd")):
                found.add(pid)
        return found

    def kill_all(self):
        if self.began is None:
            return
        pids = self.all_pids()
        while pids:
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            until("all are dead", 20,
                  lambda: not any(alive(p) for p in pids), 0.01)
            pids = self.all_pids()
        self.began.wait()
        self.began = None

    def stop(self, how=signal.SIGQUIT, seconds=30):
        pids = self.all_pids()
        os.kill(self.pid(), how)
        took = until("nginx has ended", seconds,
                     lambda: not any(alive(p) for p in pids), 0.02)
        self.began = None
        return took

    def log(self):
        path = self.top / "error.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def news(self):
        """What the log says since the last call, without times."""
        text = self.log()
        part, self.seen = text[self.seen:], len(text)
        return part

    def count(self, pattern):
        return len(re.findall(pattern, self.log()))

    def says(self, pattern, seconds=15):
        return until(f'the log says "{pattern}"', seconds,
                     lambda: re.search(pattern, self.log()[self.seen:]))

    def close(self):
        for drive in self.drives:
            if isinstance(drive, Faulty):
                drive.set()
        if self.began is not None:
            try:
                self.kill_all()
            except AssertionError as e:
                print(e)
        for drive in reversed(self.drives):
            try:
                drive.close()
            except Exception as e:
                print(f"{drive.path}: {e}")
        if os.environ.get("S3_FAULTS_KEEP"):
            shutil.copy(self.top / "error.log", os.environ["S3_FAULTS_KEEP"])
        with open("/proc/mounts") as f:
            if any(line.split()[1].startswith(str(self.top)) for line in f):
                print(f"{self.top}: something is still mounted there")
                return
        shutil.rmtree(self.top, ignore_errors=True)

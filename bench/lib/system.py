"""The machine: packages, processors, a directory on a disk, building."""

import ctypes
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
PROTOCOL = os.path.join(TOP, 'ngx_s3_module', 'protocol')
PACKAGES = ['nginx', 'nginx-dev', 'gcc', 'make', 'libc6-dev', 'libisal-dev',
            'libaio-dev', 'libxxhash-dev', 'libjansson-dev', 'libexpat1-dev',
            'libssl-dev']


class Failed(Exception):
    """What the user is told, without a trace."""


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def install(*packages):
    run([os.path.join(TOP, 't/lib/install'), *packages])


def run(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.STDOUT, **options)
    if done.returncode != 0:
        raise Failed(f'{command[0]} failed:\n{done.stdout[-4000:]}')
    return done.stdout


def build_module(build):
    run(['make', '-s', '-C', TOP, f'-j{os.cpu_count()}', f'BUILD={build}',
         'module'])
    return os.path.join(build, 'ngx_http_s3_module.so')


def build_load(directory):
    """The load generator; it needs no more than a second."""
    source = [os.path.join(TOP, 'bench', name) for name in
              ('load.c', 'load_answer.c', 'load_conn.c', 'load_raw.c',
               'load_request.c')]
    source += [os.path.join(PROTOCOL, name) for name in
               ('s3_crc.c', 's3_hash.c', 's3_base64.c')]
    program = os.path.join(directory, 'load')
    run(['gcc', '-std=gnu11', '-O2', '-Wall', '-Wextra',
         f'-I{TOP}', f'-I{TOP}/storage', f'-I{PROTOCOL}', *source, '-o',
         program, '-lcrypto', '-lisal', '-laio', '-lpthread'])
    return program


def temporary(parent):
    """A directory on a real disk; writes to tmpfs would cost nothing."""
    kind = run(['stat', '-f', '-c', '%T', parent]).strip()
    if kind in ('tmpfs', 'ramfs'):
        raise Failed(f'{parent} is in memory ({kind}); choose another --dir')
    return tempfile.mkdtemp(prefix='s3bench.', dir=parent)


def remove(path):
    shutil.rmtree(path, ignore_errors=True)


def spread(directory):
    """Lets ext4 put directories in a directory anywhere on the disk.

    It passes over inodes that were freed within the last five minutes, one by
    one, which makes creating a file where many were deleted much dearer.
    """
    subprocess.run(['chattr', '+T', directory], stderr=subprocess.DEVNULL,
                   check=False)


def flush(path):
    """What was written is written out, so that it disturbs nobody later."""
    run(['sync', '-f', path])


def child_setup(cpus=None):
    """For preexec_fn: processors of a child, and its end with ours."""
    libc = ctypes.CDLL(None)

    def setup():
        libc.prctl(1, signal.SIGTERM)           # PR_SET_PDEATHSIG
        if cpus is not None:
            os.sched_setaffinity(0, cpus)
    return setup


def processor_name():
    with open('/proc/cpuinfo') as f:
        found = re.search(r'model name\s*: (.*)', f.read())
    return found.group(1) if found else platform.machine()


def describe():
    return {
        'processor': processor_name(),
        'processors': os.cpu_count(),
        'kernel': platform.release().partition('-')[0],
        'memory': os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES'),
        'load_average': os.getloadavg()[0],
    }

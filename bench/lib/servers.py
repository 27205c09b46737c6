"""The servers that are measured: this module, stock nginx, any endpoint."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from urllib.parse import urlsplit

from . import process, system

STARTING = 60                       # seconds until a server has to answer


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Endpoint:
    """A server that is there already, measured from outside."""

    def __init__(self, url, access_key, secret_key, region, pid=None):
        parts = urlsplit(url)
        if parts.scheme != 'http' or not parts.hostname:
            raise system.Failed(f'"{url}": http://HOST:PORT is wanted')
        self.host = parts.hostname
        self.port = self.unique_port = parts.port or 80
        self.pid = pid
        self.prefix = f's3bench-{secrets.token_hex(4)}-'
        self.made = []              # path, first index, count
        self.environment = {'AWS_ACCESS_KEY_ID': access_key,
                            'AWS_SECRET_ACCESS_KEY': secret_key,
                            'AWS_REGION': region}

    def pids(self):
        return process.tree_of(self.pid) if self.pid else []

    def drive_paths(self):
        return []

    def url_path(self, path):
        """Buckets have names that nobody else has."""
        return '/' + self.prefix + path[1:]

    def stored(self, path, first, count):
        self.made.append((path, first, count))

    def stop(self):
        pass


class Nginx:
    """One nginx in the foreground, in a directory of its own."""

    environment = {}                # of the client
    host = '127.0.0.1'

    def __init__(self, directory, cpus, workers=1):
        self.directory = directory
        self.cpus = cpus
        self.workers = workers
        self.process = None
        self.port = free_port()
        self.temp = os.path.join(directory, 'temp')

    def url_path(self, path):
        return path

    def stored(self, path, first, count):
        pass                        # goes with the directory

    def head(self):
        user = 'user root;' if os.getuid() == 0 else ''
        masks = ' '.join(format(1 << cpu, 'b') for cpu in self.cpus)
        affinity = (f'worker_cpu_affinity {masks};'
                    if self.workers == len(self.cpus) else '')
        return f'''
daemon off; {user}
worker_processes {self.workers}; {affinity}
worker_rlimit_nofile 65536;
pid {self.directory}/nginx.pid;
error_log {self.directory}/error.log notice;
events {{ worker_connections 8192; }}'''

    def http(self):
        return f'''
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    client_max_body_size 0;
    client_body_temp_path {self.temp};'''

    def start(self):
        conf = os.path.join(self.directory, 'nginx.conf')
        with open(conf, 'w') as f:
            f.write(self.configuration())
        nginx = shutil.which('nginx') or '/usr/sbin/nginx'
        log = os.path.join(self.directory, 'error.log')
        self.process = subprocess.Popen(
            [nginx, '-e', log, '-c', conf], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            preexec_fn=system.child_setup(set(self.cpus)))
        end = time.monotonic() + STARTING
        while True:
            if self.process.poll() is not None:
                what = self.process.stderr.read().decode()
                raise system.Failed(f'nginx did not start: {what}')
            try:
                socket.create_connection((self.host, self.port), 1).close()
                break
            except OSError:
                if time.monotonic() > end:
                    raise system.Failed('nginx does not listen') from None
                time.sleep(0.05)
        return self

    def stop(self):
        if self.process is None:
            return
        for sign in (signal.SIGQUIT, signal.SIGTERM, signal.SIGKILL):
            self.process.send_signal(sign)
            try:
                self.process.wait(10)
                break
            except subprocess.TimeoutExpired:
                pass
        self.process.stderr.close()
        self.process = None

    def kill(self):
        """All of it, at once."""
        pids = self.pids()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        while any(os.path.exists(f'/proc/{pid}') for pid in pids):
            time.sleep(0.001)       # they still listen
        self.process.stderr.close()
        self.process = None

    def pids(self):
        return process.tree_of(self.process.pid)

    def worker_pids(self):
        return self.pids()[1:]


class Store(Nginx):
    """nginx with the module.  Two ports: MD5 ETags, and unique ones."""

    def __init__(self, directory, cpus, module, workers=1, drives=4, parity=2,
                 zone=64):
        super().__init__(directory, cpus, workers)
        self.module = module
        self.drives = drives
        self.parity = parity
        self.zone = zone            # MiB
        self.unique_port = free_port()
        self.environment = {'AWS_ACCESS_KEY_ID': 'BENCH',
                            'AWS_SECRET_ACCESS_KEY': secrets.token_hex(20),
                            'AWS_REGION': 'us-east-1'}
        system.spread(directory)
        for drive in self.drive_paths():
            os.makedirs(drive, exist_ok=True)

    def drive_paths(self):
        return [os.path.join(self.directory, f'drive{i + 1}')
                for i in range(self.drives)]

    def configuration(self):
        keys = os.path.join(self.directory, 'credentials')
        with open(os.open(keys, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
                  'w') as f:
            f.write('BENCH:%s\n' % self.environment['AWS_SECRET_ACCESS_KEY'])
        share = 'reuseport' if self.workers > 1 else ''
        return f'''load_module {self.module};
{self.head()}
http {{
    {self.http()}
    s3_drives "{self.directory}/drive{{1...{self.drives}}}";
    s3_parity {self.parity};
    s3_zone_size {self.zone}m;
    s3_credentials {keys};
    server {{
        listen 127.0.0.1:{self.port} {share};
        location / {{ s3; }}
    }}
    server {{
        listen 127.0.0.1:{self.unique_port} {share};
        location / {{ s3; s3_etag unique; }}
    }}
}}
'''


class Reference(Nginx):
    """The same nginx without the module: files, as plain as it has them.

    Small files stay until the end of the run; see system.spread().
    """

    def __init__(self, directory, cpus):
        super().__init__(directory, cpus)
        system.spread(directory)
        self.temp = self.directory_for('temp')
        os.makedirs(os.path.join(directory, 'files', 'get'))
        os.makedirs(os.path.join(directory, 'files', 'put'))
        system.spread(os.path.join(directory, 'files', 'put'))

    def directory_for(self, name):
        path = os.path.join(self.directory, f'{name}-{secrets.token_hex(8)}')
        os.mkdir(path)
        return path

    def configuration(self):
        root = os.path.join(self.directory, 'files')
        return f'''{self.head()}
http {{
    {self.http()}
    open_file_cache max=10000 inactive=600s;
    open_file_cache_valid 600s;
    server {{
        listen 127.0.0.1:{self.port};
        root {root};
        location /get/ {{ sendfile on; }}
        location /copied/ {{ alias {root}/get/; sendfile off; }}
        location = /empty {{ return 200; }}
        location /put/ {{
            open_file_cache off;
            dav_methods PUT DELETE;
            create_full_put_path on;
        }}
    }}
}}
'''

    def put_directory(self):
        """A new directory for PUTs: its path in a URL."""
        name = secrets.token_hex(8)
        os.mkdir(os.path.join(self.directory, 'files', 'put', name))
        return f'/put/{name}'

    def remove(self, path):
        system.remove(os.path.join(self.directory, 'files', path.strip('/')))

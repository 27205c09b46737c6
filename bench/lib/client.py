"""Runs the load generator and takes the server's counters around it."""

import json
import os
import subprocess
import time

from . import process, system

SETTLE = 0.25                       # seconds for what follows an answer


class Client:
    """The load generator, on processors of its own."""

    def __init__(self, program, cpus):
        self.program = program
        self.cpus = cpus
        self.alone = True           # nobody else needs its processors

    def window(self, server, method, path, port=None, watch=None, **options):
        """One measured window; what the generator says of it, and usage.

        Options are those of bench/load.  `watch`, if given, is entered when
        all is prepared and left when all is answered.
        """
        command = [self.program] + ['--poll'] * self.alone
        for name, value in options.items():
            if value is True:
                command.append(f'--{name}')
            elif value is not None and value is not False:
                command += [f'--{name}', str(value)]
        command += [server.host, str(port or server.port), method,
                    server.url_path(path)]
        environment = {k: v for k, v in os.environ.items()
                       if not k.startswith('AWS_')}
        environment.update(server.environment)
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=environment,
            preexec_fn=system.child_setup(self.cpus))
        try:
            if child.stdout.readline() != 'ready\n':
                raise system.Failed(child.communicate()[1])
            if watch is None:
                result = self._measure(child, server)
            else:
                with watch:
                    result = self._measure(child, server)
        finally:
            child.kill()
            child.communicate()
        if result['errors']:
            raise system.Failed(f'{method} {path}: {result["errors"]} errors '
                                f'in {result["ops"]}; {result["error"]}')
        if method == 'PUT':
            server.stored(path, options.get('first', 0), result['ops'])
        return result

    def _measure(self, child, server):
        pids = server.pids()
        before = process.usage(pids)
        child.stdin.write('go\n')
        child.stdin.flush()
        line = child.stdout.readline()
        at_once = process.usage(pids) - before
        if not line:
            raise system.Failed(child.stderr.read())
        time.sleep(SETTLE)
        used = process.usage(pids) - before
        result = json.loads(line)
        elapsed, ops = result['elapsed_s'], max(result['ops'], 1)
        result.update(
            cpu_us=used.cpu * 1e6 / ops,
            cpu_ticks_us=used.ticks * 1e6 / ops,
            written=used.written,
            server_busy=at_once.cpu / elapsed,
            server_waits=at_once.waiting / elapsed,
            client_busy=(result['client_cpu_s'] / elapsed
                         / result['client_threads']))
        return result

    def raw(self, size, count, files):
        """Direct, synchronous writes to all files at once."""
        return json.loads(system.run(
            [self.program, 'raw', str(size), str(count), *files],
            preexec_fn=system.child_setup(self.cpus)))

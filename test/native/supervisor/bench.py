#!/usr/bin/env python3
"""Start-to-exit of a static `true`, one after the other and 8 at once, as the channel sees it.

    bench.py SUPERVISOR [COUNT]        as root or as an ordinary user
"""

import os
import shutil
import sys
import tempfile
import time

from client import Supervisor, make_store


def percentile(values, part):
    return sorted(values)[int(len(values) * part)]


def main():
    binary, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 300
    mode = 'root' if os.geteuid() == 0 else 'rootless'
    folder = tempfile.mkdtemp(prefix='caisson-bench-', dir=os.environ.get('TMPDIR', '/var/tmp'))
    store, run = folder + '/store', folder + '/run'
    os.mkdir(store)
    make_store(store)
    os.mkdir(run, 0o700)
    try:
        begin = time.monotonic()
        supervisor = Supervisor(binary, store, run, mode)
        print(f'{mode}: open {1e3 * (time.monotonic() - begin):.1f} ms')
        warm = [('WarmPool', 1)]
        supervisor.call('Warm', [('Layer', 'layers/base')])
        for pause, times_each in ((0, count), (0.005, count), (0.2, max(10, count // 10))):
            times = []
            for _ in range(times_each):
                begin = time.monotonic()
                answer = supervisor.wait(supervisor.launch(['true'], extra=warm))
                times.append(1e3 * (time.monotonic() - begin))
                assert answer.fields.get('ExitCode') == 0, answer
                if pause:
                    time.sleep(pause)
            print(f'run, pause {pause * 1e3:.0f} ms: p50 {percentile(times, .5):.2f} '
                  f'p95 {percentile(times, .95):.2f} min {min(times):.2f} ms')
        begin = time.monotonic()
        live = set()
        for _ in range(count):
            live.add(supervisor.launch(['true'], extra=warm))
            while len(live) >= 8:
                live.discard(supervisor.receive().id)
        while live:
            live.discard(supervisor.receive().id)
        print(f'8 at once: {count / (time.monotonic() - begin):.0f} per second')
        container = supervisor.launch(['sleep', '1000'], extra=[('WantStarted', 1)])
        supervisor.wait(container)
        times = []
        for _ in range(count):
            begin = time.monotonic()
            answer = supervisor.wait(supervisor.exec(container, ['true']))
            times.append(1e3 * (time.monotonic() - begin))
            assert answer.fields.get('ExitCode') == 0, answer
        print(f'exec: p50 {percentile(times, .5):.2f} p95 {percentile(times, .95):.2f} ms')
        begin = time.monotonic()
        supervisor.close()
        print(f'close {1e3 * (time.monotonic() - begin):.1f} ms')
    finally:
        shutil.rmtree(folder)


main()

#!/usr/bin/env python3
"""SIGKILL at random moments: of the program, the supervisor, a hand, the bootstrap process.

    CAISSON_SUPERVISOR=… kill_test.py [ROUNDS] [program|supervisor|hand|bootstrap …]

Meanwhile containers start, end, are executed in, logged and removed, and folders are registered,
imported and removed. Within a second nothing may be left; a lost hand may only lose calls, each answered
exactly once, and everything after it works.
"""

import os
import random
import select
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time

from client import Ended, Supervisor, await_nothing_left, host_children, is_alive, make_store

BINARY = os.environ['CAISSON_SUPERVISOR']
MODE = 'root' if os.geteuid() == 0 else 'rootless'


class Load:
    """Random requests without waiting, with an account of what was answered."""

    def __init__(self, supervisor, rng):
        self.s, self.rng = supervisor, rng
        self.open = {}       # id → what it is
        self.running = set()
        self.lost = 0
        self.ending = False  # everything may be refused or killed
        self.folders = 0
        self.in_folder = {}  # id of a run → its folder: not removed before its end
        self.idle_folders = []

    def step(self):
        s, rng = self.s, self.rng
        what = rng.random()
        if len(self.open) > 12:
            self.take(0.001)
        elif what < 0.35:
            self.open[s.launch(['true'], extra=[('WarmPool', 1)])] = 'run'
        elif what < 0.5:
            ident = s.launch(['sh', '-c', 'sleep 1000 & sleep 1000'],
                             extra=[('WantStarted', 1), ('TimeoutMs', rng.randrange(1, 60))])
            self.open[ident] = 'sleep'
        elif what < 0.6:
            name = f'containers/l{self.folders}'
            self.folders += 1
            self.open[s.send('Register', [('Folder', name)])] = 'folder'
            log = ('LogFile', [('LogPath', name + '/log'), ('LogMaxBytes', 4096), ('LogFiles', 2)])
            ident = s.launch(['seq', '1', '3000'], stdio=(None, 'log', 'log'),
                             extra=[('FolderContainer', name), log])
            self.open[ident] = 'run'
            self.in_folder[ident] = name
        elif what < 0.8 and self.running:
            ident = rng.choice(sorted(self.running))
            self.open[s.exec(ident, ['sh', '-c', 'sleep 0.01 & true'])] = 'exec'
        elif what < 0.85 and self.idle_folders:
            self.open[s.send('Remove', [('Folder', self.idle_folders.pop())])] = 'folder'
        elif what < 0.9 and self.running:
            self.open[s.send('Kill', [('Target', rng.choice(sorted(self.running)))])] = 'kill'
        elif what < 0.93:
            self.open[s.send('Import', [('ImportSource', s.root + '/layers/base/etc'),
                                        ('ImportTarget', f'layers/i{s.next}')])] = 'import'
        else:
            self.take(0.002)

    def take(self, seconds):
        if not select.select([self.s.socket], [], [], seconds)[0]:
            return False
        message = self.s.receive()
        for fd in message.fds:
            os.close(fd)
        kind = self.open[message.id]  # A KeyError: answered twice.
        if message.type == 'Started':
            self.running.add(message.id)
            return True
        del self.open[message.id]
        self.running.discard(message.id)
        if message.id in self.in_folder:
            self.idle_folders.append(self.in_folder.pop(message.id))
        if self.ending:
            return True
        # An import's worker looks like a hand, so it may be the one that was killed.
        if message.type == 'Failed' and message.step in ('HandLost', 'Import'):
            self.lost += 1
        elif message.type == 'Failed' and message.step not in ('NotRunning', 'Clone', 'Remove'):
            raise AssertionError(f'{kind}: {message}')
        elif message.type == 'Exited' and kind == 'run' and message.fields.get('ExitCode') != 0:
            raise AssertionError(f'{kind}: {message}')
        return True

    def settle(self, seconds=15):
        until = time.monotonic() + seconds
        while self.open:
            if time.monotonic() > until:
                raise AssertionError(f'not answered: {self.open}')
            self.take(0.1)


def store_is_clean(store):
    """Only layers that are whole, no folders of containers, no scratch."""
    for name in os.listdir(store + '/layers'):
        if name.startswith('i'):
            assert os.listdir(f'{store}/layers/{name}') == ['passwd'], name
            shutil.rmtree(f'{store}/layers/{name}')
    for name in ('containers', 'scratch', 'trash'):
        if os.path.isdir(f'{store}/{name}'):
            assert os.listdir(f'{store}/{name}') == [], (name, os.listdir(f'{store}/{name}'))


def busy_until(load, moment):
    while time.monotonic() < moment:
        load.step()


def kill_program(store, run, rng):
    """The program is a fork of this one; what it started it tells through a pipe."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read_end)
            runtime = f'rt-{os.getpid()}-{time.monotonic_ns()}'
            os.write(write_end, runtime.encode())
            supervisor = Supervisor(BINARY, store, run, MODE, runtime=runtime)
            busy_until(Load(supervisor, rng), time.monotonic() + 100)
        finally:
            os._exit(1)
    os.close(write_end)
    ident = os.read(read_end, 100).decode()
    os.close(read_end)
    time.sleep(rng.choice([rng.random() * 0.02, rng.random() * 0.3]))
    pids = [child for child in host_children(pid)]
    os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status), status
    gone = type('Gone', (), {'id': ident, 'root': store, 'run': run})
    await_nothing_left(gone, pids)


def kill_one(store, run, rng, who):
    supervisor = Supervisor(BINARY, store, run, MODE)
    load = Load(supervisor, rng)
    try:
        busy_until(load, time.monotonic() + rng.random() * 0.15)
    except Ended:
        raise AssertionError('ended by itself') from None
    pids = host_children(supervisor.process.pid)
    os.kill(supervisor.process.pid if who == 'bootstrap' else supervisor.welcome.SupervisorPid,
            signal.SIGKILL)
    begin = time.monotonic()
    load.ending = True
    try:
        while True:
            load.take(1)
            assert time.monotonic() - begin < 3, 'the channel does not end'
    except Ended:
        pass
    supervisor.process.wait(5)
    supervisor.socket.close()
    await_nothing_left(supervisor, pids, 1 - min(0.9, time.monotonic() - begin))


class HandRounds:
    """One runtime for many rounds: it has to live through all of them."""

    def __init__(self, store, run):
        self.supervisor = Supervisor(BINARY, store, run, MODE)
        self.lost = 0

    def round(self, rng):
        load = Load(self.supervisor, rng)
        load.folders = 0
        busy_until(load, time.monotonic() + rng.random() * 0.05)
        main = self.supervisor.welcome.SupervisorPid
        hands = [pid for pid in children_of(main) if is_hand(pid)]
        try:
            os.kill(rng.choice(hands), signal.SIGKILL)
        except ProcessLookupError:
            pass  # A worker of an import, which has ended.
        busy_until(load, time.monotonic() + 0.02)
        load.settle()
        self.lost += load.lost
        for i in range(load.folders):
            assert self.supervisor.call('Remove', [('Folder', f'containers/l{i}')]).type == 'Done'
        assert self.supervisor.wait(self.supervisor.launch(['true'])).ExitCode == 0
        until = time.monotonic() + 1
        while any(not is_hand(pid) for pid in children_of(main) if is_alive(pid)):
            assert time.monotonic() < until, 'a child of nobody'
            time.sleep(0.005)

    def end(self):
        pids = host_children(self.supervisor.process.pid)
        assert self.supervisor.close() == 0
        await_nothing_left(self.supervisor, pids, 0.2)


def children_of(pid):
    with open(f'/proc/{pid}/task/{pid}/children') as children:
        return [int(child) for child in children.read().split()]


def is_hand(pid):
    """A hand sits in the supervisor's pid namespace: NSpid has two numbers, a container's three."""
    try:
        with open(f'/proc/{pid}/status') as status:
            text = status.read()
    except (FileNotFoundError, ProcessLookupError):
        return False
    spaces = [line for line in text.splitlines() if line.startswith('NSpid:')][0]
    return len(spaces.split()) == 3 and '(zombie)' not in text


def main():
    arguments = sys.argv[1:]
    rounds = int(arguments.pop(0)) if arguments and arguments[0].isdigit() else 20
    targets = arguments or ['program', 'supervisor', 'bootstrap', 'hand']
    seed = int(os.environ.get('SEED', time.time_ns() % 2**32))
    print(f'{MODE}, SEED={seed}')
    folder = tempfile.mkdtemp(prefix='caisson-kill-', dir=os.environ.get('TMPDIR', '/var/tmp'))
    store, run = folder + '/store', folder + '/run'
    os.mkdir(store)
    make_store(store)
    os.mkdir(run, 0o700)
    try:
        for who in targets:
            begin = time.monotonic()
            hands = HandRounds(store, run) if who == 'hand' else None
            for number in range(rounds):
                rng = random.Random(f'{seed} {who} {number}')
                try:
                    if who == 'program':
                        kill_program(store, run, rng)
                    elif who == 'hand':
                        hands.round(rng)
                    else:
                        kill_one(store, run, rng, who)
                    if who != 'hand':
                        store_is_clean(store)
                except BaseException:
                    print(f'{who}: round {number}')
                    raise
            if hands:
                hands.end()
                store_is_clean(store)
                print(f'hand: {hands.lost} calls were lost with their hands')
            print(f'{who}: {rounds} rounds, {time.monotonic() - begin:.1f} s')
        assert os.listdir(run) == [], os.listdir(run)
    finally:
        shutil.rmtree(folder, ignore_errors=sys.exc_info()[0] is not None)


main()

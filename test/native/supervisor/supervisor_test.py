#!/usr/bin/env python3
"""The supervisor by its protocol, on a real kernel: as root, or as an ordinary user (rootless).

    CAISSON_SUPERVISOR=build/…/caisson-supervisor supervisor_test.py [unittest arguments]

Every test ends with the question whether anything is left.
"""

import ctypes
import errno
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

from client import (CAPS, DEFAULTS, Ended, Supervisor, await_nothing_left, body, field,
                    cgroup_folders, host_children, is_alive, make_store, sealed_memfd)

BINARY = os.environ.get('CAISSON_SUPERVISOR', '/usr/lib/caisson/caisson-supervisor')
ROOT = os.geteuid() == 0
MODE = 'root' if ROOT else 'rootless'


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix='caisson-test-', dir=os.environ.get('TMPDIR', '/var/tmp'))
        cls.store = cls.folder + '/store'
        cls.run_folder = cls.folder + '/run'
        os.mkdir(cls.store)
        make_store(cls.store)
        os.mkdir(cls.run_folder, 0o700)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def setUp(self):
        self.supervisors = []
        self.fds = len(os.listdir('/proc/self/fd'))

    def open(self, **options):
        supervisor = Supervisor(BINARY, self.store, self.run_folder, MODE, **options)
        self.supervisors.append(supervisor)
        return supervisor

    def tearDown(self):
        for supervisor in self.supervisors:
            if supervisor.process.code is None:
                pids = host_children(supervisor.process.pid)
                supervisor.hang_up()
                await_nothing_left(supervisor, pids)
            else:
                await_nothing_left(supervisor)
        self.assertEqual(os.listdir(self.run_folder), [])

    def sleeper(self, supervisor, *extra, argv=('sleep', '1000'), **options):
        ident = supervisor.launch(list(argv), extra=[('WantStarted', 1), *extra], **options)
        started = supervisor.wait(ident)
        self.assertEqual(started.type, 'Started', started)
        for fd in started.fds:
            os.close(fd)
        return ident

    def failed(self, message, step, errno_name=None):
        self.assertEqual(message.type, 'Failed', message)
        self.assertEqual(message.step, step, message)
        if errno_name:
            self.assertEqual(errno.errorcode[message.Errno], errno_name, message)
        return message


class Handshake(Case):
    def test_welcome_names_the_processes(self):
        s = self.open()
        self.assertEqual(s.welcome.Version, 1)
        self.assertEqual(s.welcome.BootstrapPid, s.process.pid)
        self.assertIn(s.welcome.SupervisorPid, host_children(s.process.pid))
        self.assertEqual(len(s.welcome.fields['HandPid']), 3)
        for pid in s.welcome.fields['HandPid']:
            self.assertIn(pid, host_children(s.process.pid))
        self.assertEqual(s.close(), 0)

    def test_another_version_is_refused_and_the_channel_ends(self):
        s = self.open(hello=False)
        self.failed(s.call('Hello', [('Version', 999)]), 'Protocol', 'EPROTONOSUPPORT')
        with self.assertRaises(Ended):
            s.receive()
        s.process.wait()

    def test_a_request_before_hello_is_refused(self):
        s = self.open(hello=False)
        self.failed(s.call('Close'), 'Protocol', 'EPROTO')
        with self.assertRaises(Ended):
            s.receive()
        s.process.wait()

    def test_a_second_hello_and_unknown_types_are_refused_only(self):
        s = self.open()
        self.failed(s.call('Hello', [('Version', 1)]), 'Protocol', 'EPROTO')
        for kind in (0, 77, 101, 104, 65535):
            self.failed(s.call(kind), 'Protocol', 'EPROTO')
        self.assertEqual(s.wait(s.launch(['true'])).ExitCode, 0)

    def test_a_bad_start_is_told_on_the_channel(self):
        for name, value, step in (('root', '/nonexistent/store', 'Store'),
                                  ('run', '/proc/self/nothing', 'RunFolder'),
                                  ('root', 'relative', 'ReadOptions'),
                                  ('runtime', '../up', 'ReadOptions')):
            options = {'root': self.store, 'run': self.run_folder, 'hello': False}
            options[name] = value
            s = Supervisor(BINARY, options['root'], options['run'], MODE, hello=False,
                           runtime=options.get('runtime'))
            self.failed(s.receive(), step)
            self.assertNotEqual(s.process.wait(), 0)

    def test_a_run_folder_others_can_write_is_refused(self):
        folder = self.folder + '/open'
        os.mkdir(folder)
        os.chmod(folder, 0o777)
        s = Supervisor(BINARY, self.store, folder, MODE, hello=False)
        self.failed(s.receive(), 'RunFolder', 'EPERM')
        s.process.wait()


class Form(Case):
    """Malformed messages: refused, their descriptors closed, nothing else disturbed."""

    def test_headers(self):
        s = self.open()
        good = body([('Target', 9)])
        for data, fds in (
            (b'', 1), (b'abc', 0), (struct.pack('<HHIII', 5, 0, 9, 99, 0) + good, 0),
            (struct.pack('<HHIII', 5, 0, 9, len(good), 8) + good, 0),
            (struct.pack('<HHIII', 5, 3, 9, len(good), 0) + good, 0),
            (struct.pack('<HHIII', 5, 0, 9, len(good), 0) + good, 2),
            (struct.pack('<HHIII', 5, 17, 9, len(good), 0) + good, 17),
            (struct.pack('<HHIII', 5, 0, 9, 2**31, 1), 1),
            (struct.pack('<HHIII', 5, 0, 9, len(good), 1), 1),
            (struct.pack('<HHIII', 5, 0, 9, 70000, 0) + b'x' * 70000, 0),
        ):
            if not data:
                continue
            read_end, write_end = os.pipe()
            s.packet(data, [write_end] * fds)
            os.close(write_end)
            self.failed(s.receive(), 'Protocol')
            if fds:
                self.assertEqual(os.read(read_end, 1), b'')  # The last writer is gone.
            os.close(read_end)
        self.assertEqual(s.wait(s.launch(['true'])).ExitCode, 0)

    def test_a_body_in_a_memfd(self):
        s = self.open()
        env = [('Env', f'V{i}=' + 'x' * 1000) for i in range(200)]
        ident = s.launch(['sh', '-c', 'exit ${#V199}'], extra=env)
        self.assertEqual(s.wait(ident).ExitCode, 1000 & 255)
        data = body([('Target', 9)])
        for fd, errno_name in ((sealed_memfd(data, 0), 'EPERM'), (sealed_memfd(data[:8]), 'EBADMSG'),
                               (os.open('/dev/null', os.O_RDONLY), 'EPERM')):
            s.packet(struct.pack('<HHIII', 5, 0, 9, len(data), 1), [fd])
            os.close(fd)
            self.failed(s.receive(), 'Protocol', errno_name)

    def test_bodies(self):
        s = self.open()
        for kind, fields in (('Kill', []), ('Kill', [('Target', 1), ('Target', 1)]),
                             ('Kill', [('Signal', 1)]), ('Signal', [('Target', 1)]),
                             ('Signal', [('Target', 1), ('Signal', 99)]),
                             ('Register', []), ('Register', [('Folder', '../x')]),
                             ('Register', [('Folder', '/abs/x')]), ('Register', [('Folder', 'x')]),
                             ('Register', [('Folder', 'a/b\nc')]), ('Register', [('Folder', 'a//b')]),
                             ('Remove', [('Folder', 'scratch/other')]), ('Remove', [('Folder', '')]),
                             ('Import', [('ImportSource', 'rel'), ('ImportTarget', 'layers/x')]),
                             ('Import', [('ImportSource', '/etc'), ('ImportTarget', '../x')]),
                             ('Warm', [('Layer', '..')]), ('Launch', [('Layer', '/etc')]),
                             ('Launch', [('Namespaces', 0)]), ('Launch', [('CgroupName', 'a/../b')]),
                             ('Launch', [('CgroupName', 'cgroup.procs')]),
                             ('Launch', [('Stdout', 2)]), ('Launch', [('Stdin', 2)]),
                             ('Launch', [('Layer', 'layers/base')])):
            with self.subTest(kind=kind, fields=fields):
                self.failed(s.call(kind, fields), 'Parse')
        self.failed(s.call('Launch', [('Stdout', 1)]), 'Protocol', 'EBADF')
        self.failed(s.call('Close', [('Version', 1)]), 'Protocol')
        self.failed(s.call('Kill', raw=b'\0' * 12), 'Parse')
        self.assertEqual(s.close(), 0)

    def test_a_live_id_is_not_taken_twice(self):
        s = self.open()
        ident = self.sleeper(s)
        self.failed(s.call('Kill', [('Target', ident)], ident=ident), 'Protocol', 'EALREADY')
        self.assertEqual(s.call('Kill', [('Target', ident)]).type, 'Done')
        self.assertEqual(s.wait(ident).reason, 'killed')
        # Free again.
        self.assertEqual(s.wait(s.launch(['true'], ident=ident)).ExitCode, 0)


class Containers(Case):
    def test_a_container_of_its_own(self):
        s = self.open()
        exited, out, err = s.output(lambda io: s.launch(
            ['sh', '-c', 'echo $$ $(hostname); id -u; ls /sys/class/net; echo oops >&2; exit 7'],
            stdio=io))
        self.assertEqual((exited.ExitCode, exited.reason), (7, 'exited'))
        self.assertEqual(out.split(), ['1', 'box', '0', 'lo'])
        self.assertEqual(err, 'oops\n')
        self.assertLessEqual(exited.StartedNs, exited.FinishedNs)
        self.assertGreater(exited.MaxRssBytes, 0)

    def test_ends(self):
        s = self.open()
        for argv, code, sig in ((['false'], 1, None), (['sh', '-c', 'exit 255'], 255, None)):
            exited = s.wait(s.launch(argv))
            self.assertEqual((exited.ExitCode, exited.fields.get('ExitSignal')), (code, sig))
        ident = self.sleeper(s, argv=('sh', '-c', 'trap "exit 9" TERM; while :; do sleep 0.05; done'))
        time.sleep(0.1)
        self.assertEqual(s.call('Signal', [('Target', ident), ('Signal', signal.SIGTERM)]).type, 'Done')
        self.assertEqual(s.wait(ident).ExitCode, 9)
        ident = self.sleeper(s)
        self.assertEqual(s.call('Signal', [('Target', ident), ('Signal', signal.SIGKILL)]).type, 'Done')
        exited = s.wait(ident)
        self.assertEqual((exited.ExitSignal, exited.reason), (9, 'signaled'))

    def test_timeout_and_kill(self):
        s = self.open()
        begin = time.monotonic()
        exited = s.wait(s.launch(['sh', '-c', 'sleep 1000 & sleep 1000'], extra=[('TimeoutMs', 150)]))
        self.assertEqual((exited.ExitSignal, exited.reason), (9, 'timeout'))
        self.assertLess(abs(time.monotonic() - begin - 0.15), 0.5)
        exited = s.wait(s.launch(['true'], extra=[('TimeoutMs', 100000)]))
        self.assertEqual(exited.reason, 'exited')
        self.failed(s.call('Kill', [('Target', 4711)]), 'NotRunning', 'ESRCH')
        self.failed(s.call('Signal', [('Target', 4711), ('Signal', 9)]), 'NotRunning', 'ESRCH')

    def test_kill_while_it_starts(self):
        s = self.open()
        for i in range(30):
            ident = s.launch(['sleep', '1000'])
            if i % 3 == 1:
                time.sleep(0.0003 * (i % 8))
            self.assertEqual(s.call('Kill', [('Target', ident)]).type, 'Done')
            ended = s.wait(ident)
            if ended.type == 'Exited':
                self.assertEqual((ended.ExitSignal, ended.reason), (9, 'killed'))
            else:
                self.failed(ended, 'Clone', 'ECANCELED')

    def test_failed_steps_say_what_they_are_about(self):
        s = self.open()
        failed = self.failed(s.wait(s.launch(['nothere'])), 'FindExecutable', 'ENOENT')
        self.assertEqual(failed.Detail, 'nothere')
        failed = self.failed(s.wait(s.launch(['true'], layers=['layers/missing'])), 'Overlay', 'ENOENT')
        mount = ('Mount', [('MountKind', 1), ('MountTarget', '/in'), ('MountSource', '/not/there')])
        failed = self.failed(s.wait(s.launch(['true'], extra=[mount])), 'BindSource', 'ENOENT')
        self.assertEqual((failed.Detail, failed.Index), ('/not/there', 4))
        failed = self.failed(s.wait(s.launch(['true'], extra=[('Sysctl', [('Key', 'no.such'), ('Value', '1')])])), 'Sysctl')
        self.assertIn('no.such', failed.Detail)
        failed = self.failed(s.wait(s.launch(
            ['true'], extra=[('Mount', [('MountKind', 2), ('MountTarget', '/tmp'), ('MountData', 'nonsense=1')])])), 'Mount')
        self.assertIn('/tmp', failed.Detail)
        self.assertEqual(s.wait(s.launch(['true'])).ExitCode, 0)

    def test_binds_of_host_paths(self):
        s = self.open()
        with open(self.folder + '/hello', 'w') as hello:
            hello.write('from the host')
        mount = ('Mount', [('MountKind', 1), ('MountTarget', '/in/file'),
                           ('MountSource', self.folder + '/hello')])
        exited, out, err = s.output(lambda io: s.launch(['cat', '/in/file'], stdio=io, extra=[mount]))
        self.assertEqual(out, 'from the host', (exited, err))

    def test_more_binds_than_one_packet_carries(self):
        s = self.open()
        mounts = [('Mount', [('MountKind', 1), ('MountTarget', f'/in/{i}'),
                             ('MountSource', self.store)]) for i in range(600)]
        exited, out, err = s.output(lambda io: s.launch(['sh', '-c', 'ls /in | grep -c .'],
                                                        stdio=io, extra=mounts))
        self.assertEqual(out, '600\n', (exited, err))

    def test_folders_of_containers_keep_what_was_written(self):
        s = self.open()
        self.assertEqual(s.call('Register', [('Folder', 'containers/c1')]).type, 'Done')
        os.mkdir(self.store + '/containers/c1')
        where = [('FolderContainer', 'containers/c1')]
        self.assertEqual(s.wait(s.launch(['touch', '/kept'], extra=where)).ExitCode, 0)
        exited, out, _ = s.output(lambda io: s.launch(['ls', '/kept'], extra=where, stdio=io))
        self.assertEqual(out, '/kept\n')
        self.assertEqual(s.call('Remove', [('Folder', 'containers/c1')]).type, 'Done')
        self.assertFalse(os.path.exists(self.store + '/containers/c1'))
        self.assertEqual(s.call('Remove', [('Folder', 'containers/c1')]).type, 'Done')

    def test_a_folder_is_free_when_its_container_has_ended(self):
        if not ROOT:
            self.skipTest('needs root, to mount an overlay')
        s = self.open()
        libc = ctypes.CDLL(None, use_errno=True)
        target = self.folder + '/probe'
        os.mkdir(target)
        # With `index` the kernel refuses an upper folder that another overlay still has.
        options = ','.join(['index=on'] + [f'{name}={self.store}/{folder}' for name, folder in (
            ('lowerdir', 'layers/base'), ('upperdir', 'containers/free/upper'),
            ('workdir', 'containers/free/work'))])
        os.mkdir(self.store + '/containers/free')
        for _ in range(20):
            exited = s.wait(s.launch(['true'], extra=[('FolderContainer', 'containers/free')]))
            failed = libc.mount(b'overlay', target.encode(), b'overlay', 0, options.encode())
            self.assertEqual((exited.ExitCode, failed), (0, 0), os.strerror(ctypes.get_errno()))
            self.assertEqual(libc.umount2(target.encode(), 0), 0)
            shutil.rmtree(self.store + '/containers/free')
            os.mkdir(self.store + '/containers/free')
        os.rmdir(self.store + '/containers/free')
        os.rmdir(target)

    def test_a_scratch_slot_is_as_new(self):
        s = self.open()
        for _ in range(12):
            exited, out, _ = s.output(lambda io: s.launch(
                ['sh', '-c', 'ls -a /; touch /left /tmp/left; chmod 700 /; mkdir -p /d/e'],
                stdio=io, extra=[('WarmPool', 1)]))
            self.assertEqual(exited.ExitCode, 0)
            self.assertNotIn('left', out)
            self.assertNotIn('d\n', out.replace('dev\n', '').replace('shd\n', ''))

    def test_many_at_once(self):
        s = self.open()
        live = {s.launch(['sh', '-c', f'exit {i % 200}'], extra=[('WarmPool', 1)]): i % 200
                for i in range(120)}
        while live:
            message = s.receive()
            self.assertEqual(message.type, 'Exited', message)
            self.assertEqual(message.ExitCode, live.pop(message.id))

    def test_nothing_of_ours_is_inside(self):
        s = self.open()
        ident = self.sleeper(s)
        exited, out, _ = s.output(lambda io: s.exec(ident, [
            'sh', '-c', 'for p in /proc/[0-9]*; do cat $p/cmdline; echo; done; ls /proc/self/fd;'
            'grep -h . /proc/[0-9]*/environ']
            , io))
        self.assertNotIn(self.store, out)
        self.assertNotIn(s.id, out)


class Execs(Case):
    def test_exec(self):
        s = self.open()
        ident = self.sleeper(s)
        exited, out, err = s.output(lambda io: s.exec(ident, ['sh', '-c', 'echo in; exit 5'], io))
        self.assertEqual((exited.ExitCode, out), (5, 'in\n'), err)
        self.failed(s.wait(s.exec(4711, ['true'])), 'NotRunning', 'ESRCH')
        self.failed(s.wait(s.exec(ident, ['nothere'])), 'FindExecutable', 'ENOENT')
        s.call('Kill', [('Target', ident)])
        s.wait(ident)
        self.failed(s.wait(s.exec(ident, ['true'])), 'NotRunning', 'ESRCH')

    def test_a_timeout_kills_the_tree_of_the_exec_and_nothing_else(self):
        s = self.open()
        ident = self.sleeper(s)
        tree = 'sleep 500 & (sleep 500 & sleep 500) & sleep 500'
        exited = s.wait(s.exec(ident, ['sh', '-c', tree], extra=[('TimeoutMs', 200)]))
        self.assertEqual(exited.reason, 'timeout', exited)
        _, out, _ = s.output(lambda io: s.exec(ident, ['ps'], io))
        self.assertNotIn('sleep 500', out)
        self.assertIn('sleep 1000', out)

    def test_kill_of_an_exec(self):
        s = self.open()
        ident = self.sleeper(s)
        for pause in (0, 0.001, 0.1):
            process = s.exec(ident, ['sh', '-c', 'sleep 500 & sleep 500'])
            time.sleep(pause)
            self.assertEqual(s.call('Kill', [('Target', process)]).type, 'Done')
            ended = s.wait(process)
            if ended.type == 'Exited':
                self.assertEqual(ended.reason, 'killed', ended)
            else:
                self.failed(ended, 'Clone', 'ECANCELED')
        _, out, _ = s.output(lambda io: s.exec(ident, ['ps'], io))
        self.assertNotIn('sleep 500', out)

    def test_a_background_process_of_an_exec_outlives_it(self):
        if not ROOT:
            self.skipTest('needs cgroups: a subreaper waits for its descendants')
        s = self.open()
        ident = self.sleeper(s)
        self.assertEqual(s.wait(s.exec(ident, ['sh', '-c', 'sleep 501 & exit 0'])).ExitCode, 0)
        time.sleep(0.2)
        _, out, _ = s.output(lambda io: s.exec(ident, ['ps'], io))
        self.assertIn('sleep 501', out)

    def test_execs_end_with_their_container(self):
        s = self.open()
        ident = self.sleeper(s)
        execs = [s.exec(ident, ['sleep', '500'], extra=[('WantStarted', 1)]) for _ in range(5)]
        for process in execs:
            self.assertEqual(s.wait(process).type, 'Started')
        s.call('Kill', [('Target', ident)])
        self.assertEqual(s.wait(ident).reason, 'killed')
        for process in execs:
            exited = s.wait(process)
            self.assertEqual((exited.type, exited.fields.get('ExitSignal')), ('Exited', 9))


def records(path):
    with open(path, 'rb') as log:
        data, at, found = log.read(), 0, []
    while at < len(data):
        size, stream, flags, zero, when = struct.unpack_from('<IBBHQ', data, at)
        assert zero == 0 and stream in (1, 2), data[at:at + 16]
        found.append((stream, flags, when, data[at + 16:at + 16 + size]))
        assert len(found[-1][3]) == size
        at += 16 + size
    return found


class Logs(Case):
    LOG = [('Stdout', 2), ('Stderr', 2)]

    def log(self, name, max_bytes=2**20, files=3):
        os.makedirs(self.store + '/containers/' + name)
        self.addCleanup(shutil.rmtree, self.store + '/containers/' + name)
        path = f'containers/{name}/log'
        return ('LogFile', [('LogPath', path), ('LogMaxBytes', max_bytes), ('LogFiles', files)])

    def test_both_streams_to_the_last_byte(self):
        s = self.open()
        for i in range(5):
            group = self.log(f'l{i}')
            exited = s.wait(s.launch(['sh', '-c', 'echo out; echo err >&2; seq 1 20000; echo end'],
                                     stdio=(None, 'log', 'log'), extra=[group]))
            self.assertEqual(exited.ExitCode, 0, exited)
            found = records(f'{self.store}/containers/l{i}/log')
            out = b''.join(payload for stream, _, _, payload in found if stream == 1)
            err = b''.join(payload for stream, _, _, payload in found if stream == 2)
            self.assertEqual(err, b'err\n')
            self.assertTrue(out.startswith(b'out\n1\n') and out.endswith(b'20000\nend\n'))
            self.assertEqual(os.stat(f'{self.store}/containers/l{i}/log').st_mode & 0o777, 0o600)

    def test_rotation_keeps_the_bound_and_nobody_blocks(self):
        s = self.open()
        group = self.log('r', max_bytes=100_000, files=3)
        exited = s.wait(s.launch(['sh', '-c', 'seq 1 400000'], stdio=(None, 'log', 'log'),
                                 extra=[group]), timeout=30)
        self.assertEqual(exited.ExitCode, 0)
        folder = self.store + '/containers/r'
        logs = sorted(name for name in os.listdir(folder) if name.startswith('log'))
        self.assertEqual(logs, ['log', 'log.1', 'log.2'])
        text = b''
        for name in ('log.2', 'log.1', 'log'):
            self.assertLessEqual(os.path.getsize(f'{folder}/{name}'), 100_000)
            text += b''.join(payload for _, _, _, payload in records(f'{folder}/{name}'))
        self.assertTrue(text.endswith(b'\n400000\n'))
        numbers = [int(line) for line in text.split()[1:]]
        self.assertEqual(numbers, list(range(numbers[0], 400001)))  # nothing lost in between

    def test_one_file_only(self):
        s = self.open()
        group = self.log('one', max_bytes=10_000, files=1)
        s.wait(s.launch(['seq', '1', '20000'], stdio=(None, 'log', 'log'), extra=[group]))
        folder = self.store + '/containers/one'
        self.assertEqual([n for n in os.listdir(folder) if n.startswith('log')], ['log'])
        self.assertLessEqual(os.path.getsize(folder + '/log'), 10_000)

    def test_a_full_disk_drops_and_counts(self):
        if not ROOT:
            self.skipTest('needs to mount a small file system')
        store = self.folder + '/small'
        os.mkdir(store)
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=8m,mode=755', 'none', store], check=True)
        self.addCleanup(subprocess.run, ['umount', '-l', store], check=True)
        make_store(store)
        s = Supervisor(BINARY, store, self.run_folder, MODE)
        os.makedirs(store + '/containers/full')
        group = ('LogFile', [('LogPath', 'containers/full/log'), ('LogMaxBytes', 2**30),
                             ('LogFiles', 2)])
        read_end, write_end = os.pipe()
        script = 'seq 1 1500000; echo between >&2; read line; echo after'
        ident = s.launch(['sh', '-c', script], stdio=(read_end, 'log', 'log'), extra=[group])
        os.close(read_end)
        until = time.monotonic() + 120
        log = store + '/containers/full/log'
        while True:
            _, processes, _ = s.output(lambda io: s.exec(ident, ['ps'], io))
            if processes.count('seq 1 1500000') == 1:  # the shell's own command line
                break
            self.assertLess(time.monotonic(), until)
            time.sleep(0.1)
        filled = os.path.getsize(log)
        with open(log, 'r+b') as hole:  # Room again, in front of what comes.
            hole.truncate(0)
        os.write(write_end, b'\n')
        os.close(write_end)
        self.assertEqual(s.wait(ident, timeout=60).ExitCode, 0)
        self.assertGreater(filled, 2**20)
        found = records(log)
        lost = [struct.unpack('<Q', payload)[0] for _, flags, _, payload in found if flags == 1]
        self.assertEqual(len(lost), 1, found[:3])
        self.assertGreater(lost[0], 2**20)
        self.assertEqual(found[-1][3], b'after\n')
        self.assertEqual(s.close(), 0)


class Folders(Case):
    def test_registered_folders_go_at_the_end_and_released_ones_stay(self):
        s = self.open()
        for name in ('a', 'b', 'c'):
            self.assertEqual(s.call('Register', [('Folder', f'containers/{name}')]).type, 'Done')
            os.makedirs(f'{self.store}/containers/{name}/upper/deep')
        self.assertEqual(s.call('Release', [('Folder', 'containers/b')]).type, 'Done')
        self.assertEqual(s.close(), 0)
        self.assertEqual(os.listdir(self.store + '/containers'), ['b'])
        shutil.rmtree(self.store + '/containers/b')

    def test_remove_takes_everything_and_follows_nothing(self):
        s = self.open()
        outside = self.folder + '/outside'
        os.makedirs(outside)
        open(outside + '/canary', 'w').close()
        top = self.store + '/containers/x'
        os.makedirs(top + '/upper')
        os.symlink(outside, top + '/upper/link')
        os.mkfifo(top + '/upper/fifo')
        for i in range(300):
            open(f'{top}/upper/{i}', 'w').close()
        os.mkdir(top + '/upper/closed')
        open(top + '/upper/closed/file', 'w').close()
        os.chmod(top + '/upper/closed', 0)
        folder = os.open(top, os.O_DIRECTORY)
        for _ in range(600):  # deeper than any path may be long
            os.mkdir('d' * 100, dir_fd=folder)
            deeper = os.open('d' * 100, os.O_DIRECTORY, dir_fd=folder)
            os.close(folder)
            folder = deeper
        os.close(folder)
        if ROOT:
            open(top + '/upper/frozen', 'w').close()
            subprocess.run(['chattr', '+i', top + '/upper/frozen', top + '/upper'], check=False)
        self.assertEqual(s.call('Remove', [('Folder', 'containers/x')], timeout=30).type, 'Done')
        self.assertEqual(os.listdir(self.store + '/containers'), [])
        self.assertEqual(os.listdir(outside), ['canary'])
        trash = self.store + '/trash/' + s.id
        self.assertEqual(os.listdir(trash), [])
        shutil.rmtree(outside)

    def test_the_journal_stays_small(self):
        s = self.open()
        for i in range(3000):
            s.send('Register', [('Folder', f'containers/j{i}')])
            s.send('Release', [('Folder', f'containers/j{i}')])
            for _ in range(2):
                s.receive()
        s.call('Register', [('Folder', 'containers/last')])
        os.makedirs(self.store + '/containers/last')
        self.assertLess(os.path.getsize(f'{self.run_folder}/{s.id}/journal'), 120_000)
        os.kill(s.welcome.SupervisorPid, signal.SIGKILL)
        s.process.wait()
        self.assertEqual(os.listdir(self.store + '/containers'), [])


class Imports(Case):
    def test_import(self):
        s = self.open()
        source = self.folder + '/source'
        os.makedirs(source + '/sub')
        with open(source + '/sub/file', 'w') as text:
            text.write('hello')
        done = s.call('Import', [('ImportSource', source), ('ImportTarget', 'layers/imported')])
        self.assertEqual(done.type, 'Done', done)
        self.assertRegex(done.ImportResult, '^sha256:[0-9a-f]{64}$')
        self.assertEqual(done.ImportBytes, 5)
        self.assertEqual(open(self.store + '/layers/imported/sub/file').read(), 'hello')
        self.failed(s.call('Import', [('ImportSource', source), ('ImportTarget', 'layers/imported')]),
                    'ImportTarget', 'EEXIST')
        self.failed(s.call('Import', [('ImportSource', '/no/such'), ('ImportTarget', 'layers/i2')]),
                    'ImportSource', 'ENOENT')
        os.mkdir(source + '/.wh.bad')
        self.failed(s.call('Import', [('ImportSource', source), ('ImportTarget', 'layers/i3')]),
                    'ImportSource', 'EINVAL')
        self.assertEqual(sorted(os.listdir(self.store + '/layers')), ['base', 'imported'])
        shutil.rmtree(self.store + '/layers/imported')
        shutil.rmtree(source)

    def test_an_import_can_be_killed(self):
        s = self.open()
        source = self.folder + '/many'
        os.mkdir(source)
        for i in range(4000):
            open(f'{source}/{i}', 'w').close()
        ident = s.send('Import', [('ImportSource', source), ('ImportTarget', 'layers/many')])
        time.sleep(0.01)
        self.assertEqual(s.call('Kill', [('Target', ident)]).type, 'Done')
        self.failed(s.wait(ident), 'Import', 'ECANCELED')
        self.assertNotIn('many', os.listdir(self.store + '/layers'))
        shutil.rmtree(source)

    def test_a_target_that_was_taken_meanwhile_is_named(self):
        # Longer than what a string keeps in itself: it lies where the import's own record does.
        target = 'layers/' + 'x' * 100
        s = self.open()
        source = self.folder + '/named'
        os.mkdir(source)
        for i in range(2000):
            open(f'{source}/{i}', 'w').close()
        ident = s.send('Import', [('ImportSource', source), ('ImportTarget', target)])
        os.makedirs(f'{self.store}/{target}/taken')
        failed = self.failed(s.wait(ident), 'ImportTarget', 'EEXIST')
        self.assertEqual(failed.Detail, target)
        shutil.rmtree(self.store + '/' + target)
        shutil.rmtree(source)


class End(Case):
    def test_close_answers_for_everything_first(self):
        s = self.open()
        running = [self.sleeper(s) for _ in range(3)]
        process = s.exec(running[0], ['sleep', '99'], extra=[('WantStarted', 1)])
        s.wait(process)
        starting = [s.launch(['sleep', '99']) for _ in range(4)]
        pids = host_children(s.process.pid)
        close = s.send('Close')
        for ident in running:
            self.assertEqual(s.wait(ident).reason, 'killed')
        self.assertEqual(s.wait(process).type, 'Exited')
        for ident in starting:
            self.assertIn(s.wait(ident, ('Exited', 'Failed')).type, ('Exited', 'Failed'))
        self.assertEqual(s.wait(close).type, 'Done')
        with self.assertRaises(Ended):
            s.receive()
        self.assertEqual(s.process.wait(), 0)
        await_nothing_left(s, pids, 0)

    def test_a_forked_sibling_that_holds_the_channel_does_not_keep_it_alive(self):
        # A program that forks, then is killed: the fork keeps both ends of everything open.
        script = (
            'import sys, os, time; sys.path.insert(0, %r)\n'
            'from client import Supervisor\n'
            's = Supervisor(%r, %r, %r, %r)\n'
            'i = s.launch(["sleep", "1000"], extra=[("WantStarted", 1)]); s.wait(i)\n'
            'if os.fork() == 0: time.sleep(3); os._exit(0)\n'
            'print(s.id, s.process.pid, flush=True); time.sleep(100)\n'
        ) % (os.path.dirname(os.path.abspath(__file__)), BINARY, self.store, self.run_folder, MODE)
        program = subprocess.Popen(['/usr/bin/python3', '-c', script], stdout=subprocess.PIPE)
        ident, bootstrap = program.stdout.readline().decode().split()
        pids = [int(bootstrap)] + host_children(int(bootstrap))
        program.kill()
        program.wait()
        gone = type('Gone', (), {'id': ident, 'root': self.store, 'run': self.run_folder})
        await_nothing_left(gone, pids)
        program.stdout.close()

    def test_a_killed_bootstrap_ends_the_supervisor(self):
        s = self.open()
        self.sleeper(s)
        pids = host_children(s.process.pid)
        os.kill(s.process.pid, signal.SIGKILL)
        s.process.wait()
        await_nothing_left(s, pids)

    def test_both_killed_is_swept_by_the_next_start(self):
        s = self.open()
        self.sleeper(s)
        s.call('Register', [('Folder', 'containers/swept')])
        os.makedirs(self.store + '/containers/swept/upper')
        pids = host_children(s.process.pid)
        os.kill(s.process.pid, signal.SIGSTOP)
        os.kill(s.welcome.SupervisorPid, signal.SIGKILL)
        os.kill(s.process.pid, signal.SIGKILL)
        s.process.wait()
        time.sleep(0.1)
        other = self.open()
        await_nothing_left(s, pids, 0)
        self.assertEqual(os.listdir(self.store + '/containers'), [])
        other.close()

    def test_a_lost_hand_loses_only_its_own_call(self):
        s = self.open()
        ident = self.sleeper(s)
        for pid in s.welcome.fields['HandPid']:
            os.kill(pid, signal.SIGKILL)
        while any(is_alive(pid) for pid in s.welcome.fields['HandPid']):
            time.sleep(0.001)
        self.assertEqual(s.wait(s.launch(['true'])).ExitCode, 0)
        mount = ('Mount', [('MountKind', 1), ('MountTarget', '/in'), ('MountSource', self.store)])
        self.assertEqual(s.wait(s.launch(['true'], extra=[mount])).ExitCode, 0)
        self.assertEqual(s.wait(s.exec(ident, ['true'])).ExitCode, 0)
        self.assertEqual(s.close(), 0)


class Isolation(Case):
    def test_non_dumpable_from_a_sealed_copy(self):
        s = self.open()
        for pid in (s.welcome.SupervisorPid, *s.welcome.fields['HandPid']):
            exe = os.readlink(f'/proc/{pid}/exe')
            self.assertTrue(exe.startswith('/memfd:caisson'), exe)
            with self.assertRaises(OSError):
                open(f'/proc/{pid}/exe', 'r+b').close()

    def test_without_executable_memfds(self):
        switch = '/proc/sys/vm/memfd_noexec'  # of the pid namespace
        if not ROOT or not os.path.exists(switch):
            self.skipTest('needs root and vm.memfd_noexec')
        inside = (f'echo 2 > {switch} && exec "$@"', 'sh', sys.executable, os.path.abspath(__file__),
                  'Containers.test_a_container_of_its_own', 'Containers.test_nothing_of_ours_is_inside')
        done = subprocess.run(['unshare', '--pid', '--fork', '--mount-proc', 'sh', '-c', *inside],
                              capture_output=True)
        self.assertEqual(done.returncode, 0, done.stderr.decode())

    def test_no_other_user_can_look(self):
        if not ROOT:
            self.skipTest('needs a second user')
        s = self.open()
        look = f'import os; os.setgid(1000); os.setuid(1000); os.readlink("/proc/{s.welcome.SupervisorPid}/exe")'
        self.assertNotEqual(subprocess.run(['/usr/bin/python3', '-c', look],
                                           stderr=subprocess.DEVNULL).returncode, 0)

    def test_little_is_mounted(self):
        if not ROOT:
            self.skipTest('the supervisor is not to be looked into')
        s = self.open()
        with open(f'/proc/{s.welcome.SupervisorPid}/mountinfo') as mountinfo:
            mounts = [line.split()[4] for line in mountinfo]
        self.assertEqual(sorted(mounts), ['/', '/proc', '/store'])

    def test_memory_stays_small(self):
        if not ROOT:
            self.skipTest('the supervisor is not to be looked into')
        if 'CAISSON_SANITIZED' in os.environ:
            self.skipTest('sanitizers need memory of their own')
        s = self.open()

        def private():
            with open(f'/proc/{s.welcome.SupervisorPid}/smaps_rollup') as smaps:
                return sum(int(line.split()[1]) for line in smaps
                           if line.startswith(('Private_Clean:', 'Private_Dirty:')))

        self.sleeper(s)
        before = private()
        for _ in range(50):
            self.sleeper(s)
        per_container = (private() - before) / 50
        self.assertLess(before, 1024, 'KiB')
        self.assertLess(per_container, 2.5, 'KiB')


class Terminals(Case):
    SIZE = (('Terminal', 1), ('Columns', 90), ('Rows', 20), ('WantStarted', 1))

    def screen(self, master, until='none of it'):
        """All that is shown up to `until`, or until nobody holds the other end."""
        text = b''
        while until.encode() not in text:
            ready, _, _ = select.select([master], [], [], 10)
            self.assertTrue(ready, text)
            try:
                text += os.read(master, 4096)
            except BlockingIOError:
                continue
            except OSError as error:
                self.assertEqual(error.errno, errno.EIO)
                break
        return text.decode()

    def started(self, s, ident):
        started = s.wait(ident)
        self.assertEqual(started.type, 'Started', started)
        pidfd, master = started.fds
        os.close(pidfd)
        return master

    def test_an_exec_has_one_that_can_be_resized(self):
        s = self.open()
        container = self.sleeper(s)
        line = 'stty size; read x; stty size; readlink /proc/self/fd/2'
        ident = s.exec(container, ['sh', '-c', line], extra=self.SIZE)
        master = self.started(s, ident)
        self.assertEqual(self.screen(master, '\n'), '20 90\r\n')
        resized = s.call('Resize', [('Target', ident), ('Columns', 100), ('Rows', 30)])
        self.assertEqual(resized.type, 'Done')
        os.write(master, b'go\n')
        self.assertEqual(s.wait(ident).ExitCode, 0)
        self.assertEqual(self.screen(master), 'go\r\n30 100\r\n/dev/pts/0\r\n')
        os.close(master)
        for target in (container, ident, 999):
            step = 'Terminal' if target == container else 'NotRunning'
            self.failed(s.call('Resize', [('Target', target), ('Columns', 1), ('Rows', 1)]), step)
        for wrong in ([('Target', container)], [('Target', container), ('Columns', 65536), ('Rows', 1)]):
            self.failed(s.call('Resize', wrong), 'Parse', 'EINVAL')
        self.assertEqual(s.close(), 0)

    def test_a_container_has_one_as_its_console_and_in_its_log(self):
        s = self.open()
        log = ('LogFile', [('LogPath', 'containers/x/log'), ('LogMaxBytes', 0), ('LogFiles', 1)])
        os.makedirs(self.store + '/containers/x')
        line = 'stty size; echo to the console > /dev/console; read x; echo $x'
        ident = s.launch(['sh', '-c', line], stdio=(None, 'log', None), extra=(*self.SIZE, log))
        master = self.started(s, ident)
        os.write(master, b'typed\n')
        self.assertEqual(s.wait(ident).ExitCode, 0)
        os.close(master)
        with open(self.store + '/containers/x/log', 'rb') as file:
            records = file.read()
        text = ''
        while records:
            size, stream = struct.unpack_from('<IB', records)
            self.assertEqual(stream, 1)
            text += records[16:16 + size].decode()
            records = records[16 + size:]
        echo = 'typed\r\n'  # comes at any time
        self.assertEqual(text.replace(echo, '', 1), f'20 90\r\nto the console\r\n{echo}')
        self.assertEqual(s.close(), 0)

    def test_one_without_a_log_is_read_all_the_same(self):
        s = self.open()
        ident = s.launch(['sh', '-c', 'yes | head -c 1000000'], extra=self.SIZE)
        os.close(self.started(s, ident))
        self.assertEqual(s.wait(ident, timeout=20).ExitCode, 0)
        self.assertEqual(s.close(), 0)

    def test_what_goes_with_none_is_refused(self):
        s = self.open()
        container = self.sleeper(s)
        out, other = os.pipe()
        terminal = [('Terminal', 1), ('WantStarted', 1)]
        self.failed(s.wait(s.exec(container, ['true'], extra=terminal[:1])), 'Parse', 'EINVAL')
        self.failed(s.wait(s.exec(container, ['true'], (None, other, None), terminal)), 'Parse')
        self.failed(s.wait(s.launch(['true'], stdio=(None, None, other), extra=terminal)), 'Parse')
        for fd in (out, other):
            os.close(fd)
        self.assertEqual(s.close(), 0)

    def test_nothing_is_left_of_one_that_was_killed_or_could_not_start(self):
        s = self.open()
        container = self.sleeper(s)
        self.failed(s.wait(s.exec(container, ['/none'], extra=self.SIZE)), 'FindExecutable', 'ENOENT')
        ident = s.exec(container, ['sleep', '1000'], extra=self.SIZE)
        master = self.started(s, ident)
        s.call('Kill', [('Target', ident)])
        self.assertEqual(s.wait(ident).ExitSignal, 9)
        self.assertEqual(self.screen(master), '')
        os.close(master)
        answer, out, _ = s.output(lambda stdio: s.exec(container, ['ls', '/dev/pts'], stdio))
        self.assertEqual((answer.type, out), ('Exited', 'ptmx\n'))
        self.assertEqual(s.close(), 0)


if __name__ == '__main__':
    unittest.main(warnings='ignore')  # Sockets of ended supervisors are left to the collector.

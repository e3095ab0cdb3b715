"""A client of caisson-supervisor for its tests: the protocol of addon/plan/protocol.h, by hand."""

import array
import atexit
import fcntl
import glob
import os
import re
import select
import shutil
import socket
import struct
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ADDON = os.path.join(HERE, '..', '..', '..', 'addon')


def _numbers(path, enum):
    """The enumerators of `enum` in a header: the test speaks what the header says."""
    with open(path) as header:
        text = header.read()
    block = re.search(r'enum class %s[^{]*\{(.*?)\};' % enum, text, re.S).group(1)
    return {name: int(value) for name, value in re.findall(r'k(\w+)\s*=\s*(\d+)', block)}


_HEADER = os.path.join(ADDON, 'plan', 'protocol.h')
TYPE = _numbers(_HEADER, 'Type')
TAG = _numbers(_HEADER, 'Tag')
TAG_NAME = {value: name for name, value in TAG.items()}
TYPE_NAME = {value: name for name, value in TYPE.items()}
with open(os.path.join(ADDON, 'base', 'failure.h')) as _steps:
    STEPS = re.findall(r'^\s*X\((\w+),', _steps.read(), re.M)
REASON = ['exited', 'signaled', 'timeout', 'killed', 'oom', 'lost']

CGROUP_PARENT = 'caisson-test'


@atexit.register
def _remove_cgroup_parents():
    """Each runtime removes its own group and leaves the parent."""
    for pattern in ('/sys/fs/cgroup', '/sys/fs/cgroup/*'):
        for folder in glob.glob(os.path.join(pattern, CGROUP_PARENT)):
            try:
                os.rmdir(folder)
            except OSError:
                pass  # another test is using it, or it is not ours


TEXTS = {'Detail', 'ImportResult', 'UnpackBlobDigest', 'UnpackDiffId'}


def field(tag, value):
    if isinstance(value, int):
        payload = struct.pack('<Q', value & (2**64 - 1))
    elif isinstance(value, str):
        payload = value.encode()
    elif isinstance(value, list):
        payload = body(value)
    else:
        payload = bytes(value)
    return (struct.pack('<HHI', TAG[tag] if isinstance(tag, str) else tag, 0, len(payload))
            + payload + b'\0' * (-len(payload) % 8))


def body(fields):
    return b''.join(field(tag, value) for tag, value in fields)


def parse(data):
    found, at = {}, 0
    while at < len(data):
        tag, _, size = struct.unpack_from('<HHI', data, at)
        payload = data[at + 8:at + 8 + size]
        name = TAG_NAME[tag]
        value = payload.decode() if name in TEXTS else struct.unpack('<Q', payload)[0]
        if name == 'HandPid':
            found.setdefault(name, []).append(value)
        else:
            found[name] = value
        at += 8 + (size + 7) // 8 * 8
    return found


class Message:
    def __init__(self, kind, ident, fields, fds):
        self.type, self.id, self.fields, self.fds = kind, ident, fields, fds

    def __getattr__(self, name):
        return self.fields[name]

    @property
    def step(self):
        return STEPS[self.fields['Step']]

    @property
    def reason(self):
        return REASON[self.fields['Reason']]

    def __repr__(self):
        extra = dict(self.fields)
        if 'Step' in extra:
            extra['Step'] = self.step
        if 'Errno' in extra:
            extra['Errno'] = os.strerror(extra['Errno'])
        return f'{self.type}#{self.id} {extra}'


class Ended(Exception):
    pass


MEMFD_SEALS = 1 | 2 | 4 | 8


def sealed_memfd(data, seals=MEMFD_SEALS):
    fd = os.memfd_create('body', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, data) if len(data) < 2**20 else os.writev(fd, [data])
    if seals:
        fcntl.fcntl(fd, 1033, seals)
    return fd


class Process:
    """A child that is waited for, with a bound."""

    def __init__(self, pid):
        self.pid, self.pidfd, self.code = pid, os.pidfd_open(pid), None

    def wait(self, timeout=10):
        if self.code is None:
            if not select.select([self.pidfd], [], [], timeout)[0]:
                raise TimeoutError(f'process {self.pid} has not ended')
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            os.close(self.pidfd)
        return self.code


class Supervisor:
    def __init__(self, binary, root, run, mode='root', runtime=None, hello=True, args=(),
                 debug=bool(os.environ.get('CAISSON_DEBUG')), cgroup_parent='/' + CGROUP_PARENT):
        self.id = runtime or f'rt-{os.getpid()}-{time.monotonic_ns()}'
        self.root, self.run, self.next = root, run, 1
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pidfd = os.pidfd_open(os.getpid())
        argv = [binary, 'supervise', '--root', root, '--run', run, '--mode', mode, '--id', self.id,
                '--cgroup-parent', cgroup_parent, *args]
        if debug:
            argv.append('--debug')
        # Above every number that is dealt out below.
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in (theirs.fileno(), pidfd)]
        null = os.open('/dev/null', os.O_RDWR | os.O_CLOEXEC)
        actions = [(os.POSIX_SPAWN_DUP2, null, fd) for fd in ((0, 1) if debug else (0, 1, 2))]
        actions += [(os.POSIX_SPAWN_DUP2, high[0], 3), (os.POSIX_SPAWN_DUP2, high[1], 4)]
        self.process = Process(os.posix_spawn(binary, argv, {}, file_actions=actions))
        for fd in (null, pidfd, *high):
            os.close(fd)
        theirs.close()
        self.socket = ours
        self.pending = []
        self.welcome = None
        if hello:
            self.greet()

    def greet(self):
        self.send('Hello', [('Version', 1)], ident=1)
        try:
            self.welcome = self.wait(1)
        except Ended:
            raise AssertionError(
                f'no Welcome, exit status {self.process.wait()}: {self.pending}') from None
        assert self.welcome.type == 'Welcome', self.welcome

    # ---- messages
    def send(self, kind, fields=(), fds=(), ident=None, raw=None, memfd=None):
        if ident is None:
            self.next += 1
            ident = self.next
        data = body(list(fields)) if raw is None else raw
        flags, size = 0, len(data)
        fds = list(fds)
        count = len(fds)
        opened = None
        if memfd or (memfd is None and size > 64 * 1024):
            opened = sealed_memfd(data)
            fds.insert(0, opened)
            flags, data = 1, b''
        kind = TYPE[kind] if isinstance(kind, str) else kind
        header = struct.pack('<HHIII', kind, count, ident, size, flags)
        self.packet(header + data, fds)
        if opened is not None:
            os.close(opened)
        return ident

    def packet(self, data, fds=()):
        ancillary = []
        if fds:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))]
        self.socket.sendmsg([data], ancillary)

    def packet_received(self):
        data, ancillary, _, _ = self.socket.recvmsg(
            70 * 1024, socket.CMSG_SPACE(32 * 4), socket.MSG_CMSG_CLOEXEC)
        return data, ancillary

    def receive(self, timeout=10):
        ready, _, _ = select.select([self.socket], [], [], timeout)
        if not ready:
            raise TimeoutError('no answer')
        try:
            data, ancillary = self.packet_received()
        except ConnectionResetError:
            # It ended with requests of ours unread, and what it had said before is still to be read.
            data, ancillary = self.packet_received()
        if not data:
            raise Ended(self.pending)
        fds = array.array('i')
        for _, _, payload in ancillary:
            fds.frombytes(payload[:len(payload) // 4 * 4])
        kind, count, ident, size, flags = struct.unpack_from('<HHIII', data)
        fds = list(fds)
        rest = data[16:]
        if flags & 1:
            rest = os.pread(fds[0], size, 0)
            os.close(fds.pop(0))
        assert count == len(fds) and size == len(rest)
        return Message(TYPE_NAME[kind], ident, parse(rest), fds)

    def wait(self, ident, types=None, timeout=10):
        """The next message about `ident`; others are kept."""
        until = time.monotonic() + timeout
        while True:
            for at, message in enumerate(self.pending):
                if message.id == ident and (types is None or message.type in types):
                    return self.pending.pop(at)
            self.pending.append(self.receive(max(0.01, until - time.monotonic())))

    def call(self, kind, fields=(), fds=(), timeout=10, **more):
        return self.wait(self.send(kind, fields, fds, **more), timeout=timeout)

    # ---- verbs
    def launch(self, argv, layers=('layers/base',), stdio=(None, None, None), extra=(), ident=None,
               memfd=None):
        fields = [('Layer', layer) for layer in layers]
        fds = []
        for name, fd in zip(('Stdin', 'Stdout', 'Stderr'), stdio):
            if isinstance(fd, int):
                fds.append(fd)
                fields.append((name, 1))
            elif fd == 'log':
                fields.append((name, 2))
        fields += [('Arg', arg) for arg in argv] + DEFAULTS + list(extra)
        return self.send('Launch', fields, fds, ident=ident, memfd=memfd)

    def exec(self, container, argv, stdio=(None, None, None), extra=()):
        fields = [('Container', container)]
        fds = []
        for name, fd in zip(('Stdin', 'Stdout', 'Stderr'), stdio):
            if fd is not None:
                fds.append(fd)
                fields.append((name, 1))
        fields += [('Arg', arg) for arg in argv] + PROCESS + list(extra)
        return self.send('Exec', fields, fds)

    def output(self, start):
        """Runs start(stdio) with pipes; the answer, stdout and stderr."""
        out, err = os.pipe(), os.pipe()
        ident = start((None, out[1], err[1]))
        os.close(out[1])
        os.close(err[1])
        texts = []
        for fd in (out[0], err[0]):
            with os.fdopen(fd, 'rb') as stream:
                texts.append(stream.read().decode())
        return self.wait(ident, ('Exited', 'Failed')), texts[0], texts[1]

    def close(self, timeout=10):
        done = self.call('Close', timeout=timeout)
        assert done.type == 'Done', done
        try:
            left = self.receive(timeout)
            raise AssertionError(f'after Close: {left}')
        except Ended:
            pass
        code = self.process.wait(timeout)
        self.socket.close()
        return code

    def hang_up(self, timeout=10):
        self.socket.close()
        return self.process.wait(timeout)


CAPS = 0xa80425fb & ~(1 << 27)
PROCESS = [('Env', 'PATH=/bin'), ('Cwd', '/'), ('User', '')] + [
    (name, CAPS) for name in ('CapBounding', 'CapEffective', 'CapPermitted')]
NEW = {'ns': 0x20000, 'uts': 0x4000000, 'ipc': 0x8000000, 'pid': 0x20000000, 'net': 0x40000000,
       'cgroup': 0x2000000}
DEFAULTS = PROCESS + [
    ('Hostname', 'box'),
    ('Mount', [('MountKind', 3), ('MountTarget', '/proc'), ('MountAttr', 14)]),
    ('Mount', [('MountKind', 5), ('MountTarget', '/dev'), ('MountAttr', 2)]),
    ('Mount', [('MountKind', 6), ('MountTarget', '/dev/pts'), ('MountAttr', 10)]),
    ('Mount', [('MountKind', 4), ('MountTarget', '/sys'), ('MountAttr', 15)]),
]

TRUE = 'int main(void){return 0;}'


def make_store(folder):
    """A store with one layer that has busybox and a static `true`."""
    base = os.path.join(folder, 'layers', 'base')
    for name in ('bin', 'proc', 'dev', 'sys', 'tmp', 'etc', 'root'):
        os.makedirs(os.path.join(base, name), exist_ok=True)
    os.chmod(folder, 0o755)
    os.makedirs(os.path.join(folder, 'containers'), exist_ok=True)
    shutil.copy('/bin/busybox', os.path.join(base, 'bin', 'busybox'))
    for name in ('sh', 'sleep', 'echo', 'cat', 'id', 'ls', 'touch', 'hostname', 'kill', 'dd', 'ps',
                 'mkdir', 'rm', 'yes', 'head', 'stty', 'seq', 'chmod', 'ln', 'readlink', 'grep', 'false'):
        os.symlink('busybox', os.path.join(base, 'bin', name))
    subprocess.run(['gcc', '-O2', '-static', '-x', 'c', '-', '-o', os.path.join(base, 'bin/true')],
                   input=TRUE.encode(), check=True)
    with open(os.path.join(base, 'etc', 'passwd'), 'w') as passwd:
        passwd.write('root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n')


def host_children(pid):
    """Every process below `pid`."""
    found = []
    try:
        for task in os.listdir(f'/proc/{pid}/task'):
            with open(f'/proc/{pid}/task/{task}/children') as children:
                for child in children.read().split():
                    found += [int(child)] + host_children(int(child))
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def cgroup_folders(runtime):
    found = []
    for base, folders, _ in os.walk('/sys/fs/cgroup'):
        found += [os.path.join(base, name) for name in folders if name == runtime]
    return found


def is_alive(pid):
    try:
        with open(f'/proc/{pid}/stat') as stat:
            return stat.read().rsplit(')', 1)[1].split()[0] not in 'ZX'
    except (FileNotFoundError, ProcessLookupError):
        return False


def leftovers(supervisor, pids=()):
    """What is still there of an ended runtime."""
    left = [f'pid {pid}' for pid in pids if is_alive(pid)]
    left += cgroup_folders(supervisor.id)
    for folder in ('scratch', 'trash'):
        path = os.path.join(supervisor.root, folder, supervisor.id)
        if os.path.exists(path):
            left.append(path)
    path = os.path.join(supervisor.run, supervisor.id)
    if os.path.exists(path):
        left.append(path)
    with open('/proc/self/mountinfo') as mounts:
        left += [line.strip() for line in mounts
                 if supervisor.root in line or supervisor.id in line]
    return left


def await_nothing_left(supervisor, pids=(), seconds=1.0):
    until = time.monotonic() + seconds
    while True:
        left = leftovers(supervisor, pids)
        if not left or time.monotonic() > until:
            assert not left, left
            return
        time.sleep(0.01)

#!/usr/bin/env python3
"""Writes protocol-corpus/: one file per conversation, for protocol_fuzz.cc."""

import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'supervisor'))
from client import DEFAULTS, PROCESS, TYPE, body  # noqa: E402

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'protocol-corpus')


def packet(kind, fields, ident, fds=0, flags=0):
    data = body(fields)
    header = struct.pack('<HHIII', TYPE[kind], fds, ident, len(data), flags & 1)
    return struct.pack('<HBB', len(header + data), fds, flags) + header + data


HELLO = packet('Hello', [('Version', 1)], 1)
LAUNCH = [('Layer', 'layers/a'), ('Arg', 'true')] + DEFAULTS
LOG = ('LogFile', [('LogPath', 'containers/a/log'), ('LogMaxBytes', 4096), ('LogFiles', 3)])
BIND = ('Mount', [('MountKind', 1), ('MountTarget', '/in'), ('MountSource', '/etc')])
UNPACK = [('UnpackTarget', 'layers/b'), ('UnpackOffset', 0), ('UnpackLength', 9), ('UnpackMaxBytes', 99),
          ('UnpackMaxEntries', 9)]
DIFF = [('DiffForm', 2), ('DiffUpper', 'containers/a/upper')]
RUNNING = packet('Launch', LAUNCH + [('WantStarted', 1), ('TimeoutMs', 9)], 2)

CONVERSATIONS = {
    'hello': HELLO,
    'hello-version': packet('Hello', [('Version', 2)], 1),
    'early': RUNNING,
    'hello-twice': HELLO + HELLO,
    'launch': HELLO + RUNNING,
    'launch-memfd': HELLO + packet('Launch', LAUNCH, 2, flags=1),
    'launch-unsealed': HELLO + packet('Launch', LAUNCH, 2, flags=3),
    'launch-truncated': HELLO + packet('Launch', LAUNCH, 2, flags=4),
    'launch-stdio': HELLO + packet('Launch', LAUNCH + [('Stdin', 1), ('Stdout', 1)], 2, fds=2),
    'launch-log': HELLO + packet('Launch', LAUNCH + [LOG, ('Stdout', 2), ('Stderr', 2)], 2),
    'launch-bind': HELLO + packet('Launch', LAUNCH + [BIND], 2),
    'launch-folder': HELLO + packet('Launch', LAUNCH + [
        ('FolderContainer', 'containers/a'), ('CgroupName', 'c-a'), ('WarmPool', 1)], 2),
    'exec': HELLO + RUNNING + packet('Exec', [('Container', 2), ('Arg', 'a')] + PROCESS, 3),
    'exec-none': HELLO + packet('Exec', [('Container', 9), ('Arg', 'a')] + PROCESS, 3),
    'signal': HELLO + RUNNING + packet('Signal', [('Target', 2), ('Signal', 15)], 3),
    'kill': HELLO + RUNNING + packet('Kill', [('Target', 2)], 3),
    'duplicate': HELLO + RUNNING + RUNNING,
    'folders': HELLO + packet('Register', [('Folder', 'containers/a')], 2)
    + packet('Release', [('Folder', 'containers/a')], 3)
    + packet('Remove', [('Folder', 'containers/a')], 4),
    'import': HELLO + packet('Import', [('ImportSource', '/a'), ('ImportTarget', 'layers/b')], 2)
    + packet('Kill', [('Target', 2)], 3),
    'unpack': HELLO + packet('Unpack', UNPACK, 2, fds=2) + packet('Kill', [('Target', 2)], 3),
    'unpack-none': HELLO + packet('Unpack', UNPACK, 2) + packet('Unpack', UNPACK[1:], 3, fds=1),
    'settle': HELLO + packet('Settle', [('UnpackTarget', 'layers/b'), ('Layer', 'layers/a')], 2),
    'diff': HELLO + packet('Diff', DIFF + [('Layer', 'layers/a'), ('DiffMountPoint', '/in')], 2, fds=1)
    + packet('Kill', [('Target', 2)], 3),
    'diff-host': HELLO + packet('Diff', DIFF + [
        ('ImportSource', '/usr'), ('UidMap', '0 1 9\n'), ('GidMap', '0 1 9\n')], 2, fds=1),
    'warm': HELLO + packet('Warm', [('Layer', 'layers/a'), ('Layer', 'layers/b')], 2),
    'resize': HELLO + packet('Resize', [('Target', 2), ('Columns', 80), ('Rows', 25)], 3),
    'close': HELLO + RUNNING + packet('Close', [], 3) + RUNNING,
}

os.makedirs(FOLDER, exist_ok=True)
for name, data in CONVERSATIONS.items():
    with open(os.path.join(FOLDER, name), 'wb') as seed:
        seed.write(b'\x05' + data)

#!/usr/bin/env python3
"""Writes the seeds of parse_fuzz: bodies that are accepted, by the tags of addon/plan/protocol.h."""
import os
import re
import struct

here = os.path.dirname(os.path.abspath(__file__))
text = open(os.path.join(here, '../../../addon/plan/protocol.h')).read()
tags = {name: int(number) for name, number in
        re.findall(r'^  k(\w+)\s*=\s*(\d+),', text[text.index('enum class Tag'):], re.M)}


def field(name, value):
    if isinstance(value, int):
        value = struct.pack('<Q', value & (2 ** 64 - 1))
    elif isinstance(value, str):
        value = value.encode()
    elif isinstance(value, list):
        value = b''.join(field(*item) for item in value)
    padding = -len(value) % 8
    return struct.pack('<HHI', tags[name], 0, len(value)) + value + bytes(padding)


def body(*fields):
    return b''.join(field(*item) for item in fields)


process = [('Arg', 'sh'), ('Arg', '-c'), ('Arg', 'true'), ('Env', 'PATH=/usr/bin:/bin'), ('Env', 'A=b'),
           ('Cwd', '/work'), ('User', 'alice:wheel'), ('AddGroup', 'audio'), ('AddGroup', '7'),
           ('CapBounding', 0xa80425fb), ('CapEffective', 0), ('CapPermitted', 1),
           ('CapInheritable', 0), ('CapAmbient', 0), ('NoNewPrivileges', 1),
           ('Rlimit', [('RlimitKind', 7), ('RlimitSoft', 1024), ('RlimitHard', 4096)]),
           ('Umask', 0o22), ('OomScoreAdj', -500), ('Seccomp', [('SeccompPolicy', 1)]), ('Terminal', 0),
           ('SetHome', 1), ('Stdin', 0), ('Stdout', 1), ('Stderr', 2)]
launch = [('FolderContainer', 'containers/c1'), ('Layer', 'layers/skeleton'), ('Layer', 'layers/a'),
          ('CgroupName', 'c1'), ('WantStarted', 1), ('TimeoutMs', 5000), ('Namespaces', 0x6c020000 | 0x2000000),
          ('LogFile', [('LogPath', 'containers/c1/log'), ('LogMaxBytes', 1 << 20), ('LogFiles', 3)]),
          ('Hostname', 'box'), ('ReadOnlyRoot', 1), ('WarmPool', 1),
          ('Mount', [('MountKind', 1), ('MountTarget', '/data'), ('MountSource', '/srv'), ('MountAttr', 3),
                     ('MountPropagation', 1 << 19), ('MountRecursive', 1), ('MountAttrRecursive', 1)]),
          ('Mount', [('MountKind', 2), ('MountTarget', '/tmp'), ('MountData', 'size=1m'), ('MountData', 'mode=1777')]),
          ('Mount', [('MountKind', 9), ('MountTarget', '/over'), ('MountSource', '/srv'), ('MountScratch', 'over')]),
          ('File', [('FilePath', '/etc/hosts'), ('FileContent', b'127.0.0.1\0x'), ('FileMode', 0o644)]),
          ('MaskedPath', '/proc/kcore'), ('ReadOnlyPath', '/proc/sys'),
          ('Sysctl', [('Key', 'net.ipv4.ip_forward'), ('Value', '1')]),
          ('TimeOffset', [('TimeClock', 7), ('TimeSeconds', 86400), ('TimeNanoseconds', 1)]),
          ('Device', [('DevicePath', '/dev/fuse'), ('DeviceKind', 0o20000), ('DeviceMajor', 10),
                      ('DeviceMinor', 229), ('DeviceMode', 0o666), ('DeviceUid', 0), ('DeviceGid', 0)])]
seeds = {
    'launch-least': body(('Layer', 'layers/a'), ('Arg', 'true')),
    'launch-full': body(*launch, *process),
    'exec-least': body(('Container', 1), ('Arg', '/bin/true')),
    'process-filter': body(('Container', 1), ('Arg', 'x'), ('SeccompFilter', bytes(16))),
    'process-profile': body(('Container', 1), ('Arg', 'x'), ('Seccomp', [
        ('SeccompPolicy', 3), ('SeccompDefault', 0x50001), ('SeccompArchitectures', 7),
        ('SeccompRule', [('SeccompNames', 'read write'), ('SeccompVerdict', 0x7fff0000)]),
        ('SeccompRule', [('SeccompNames', 'clone'), ('SeccompVerdict', 0x7fff0000),
                         ('SeccompCondition', [('SeccompArgument', 0), ('SeccompOperator', 6),
                                               ('SeccompValue', 0x7e020000), ('SeccompValueTwo', 0)])])])),
    'exec-full': body(('Container', 1), ('TimeoutMs', 1), ('WantStarted', 0), *process),
}
for fields, prefix in ((launch, 'launch'), (process, 'process')):
    for i, item in enumerate(fields):
        first = [('Layer', 'l'), ('Arg', 'x')] if prefix == 'launch' else [('Container', 1), ('Arg', 'x')]
        seeds[f'{prefix}-{i:02}-{item[0]}'] = body(*first, item)
for name, data in seeds.items():
    with open(os.path.join(here, 'corpus', name), 'wb') as seed:
        seed.write(data)

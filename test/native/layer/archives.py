"""Archives and trees for the tests of unpacking: made by programs, or byte by byte."""

import hashlib
import io
import json
import os
import stat
import subprocess
import tarfile


def number(value, size):
    return b'%0*o\0' % (size - 1, value)


def header(name, kind=b'0', size=0, link=b'', mode=0o644, uid=0, gid=0, mtime=0, major=0, minor=0,
           magic=b'ustar\x0000', raw_size=None, prefix=b'', checksum=None):
    """One block, every field as it is given."""
    block = bytearray(512)
    block[0:100] = name[:100].ljust(100, b'\0')
    block[100:108] = number(mode, 8)
    block[108:116] = number(uid, 8)
    block[116:124] = number(gid, 8)
    block[124:136] = raw_size if raw_size is not None else number(size, 12)
    block[136:148] = number(mtime, 12)
    block[148:156] = b' ' * 8
    block[156:157] = kind
    block[157:257] = link[:100].ljust(100, b'\0')
    block[257:265] = magic
    block[329:337] = number(major, 8)
    block[337:345] = number(minor, 8)
    block[345:500] = prefix[:155].ljust(155, b'\0')
    block[148:156] = b'%06o\0 ' % (sum(block) if checksum is None else checksum)
    return bytes(block)


def padded(data):
    return data + b'\0' * (-len(data) % 512)


def entry(name, data=b'', **fields):
    return header(name, size=len(data), **fields) + padded(data)


def record(keyword, value):
    rest = len(keyword) + len(value) + 3
    length = rest + 1
    while length != rest + len(str(length)):
        length = rest + len(str(length))
    return b'%d %s=%s\n' % (length, keyword, value)


def pax(records, kind=b'x'):
    body = b''.join(record(key, value) for key, value in records)
    return entry(b'./PaxHeaders/x', body, kind=kind)


END = bytes(1024)


def archive(*parts):
    return b''.join(parts) + END


def folder(name, **fields):
    return entry(name, kind=b'5', **{'mode': 0o755, **fields})


def symlink(name, target, **fields):
    return entry(name, kind=b'2', link=target, **fields)


def hard_link(name, target, **fields):
    return entry(name, kind=b'1', link=target, **fields)


def with_tarfile(add, **options):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w', **options) as tar:
        add(tar)
    return out.getvalue()


# What overlay and we put there, which no archive holds.
OURS = ('trusted.overlay.', 'user.overlay.', 'trusted.caisson.', 'user.caisson.')


def xattrs(path, ours=False):
    names = os.listxattr(path, follow_symlinks=False)
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in sorted(names)
            if name.startswith(OURS) == ours and not name.startswith('security.selinux')}


def describe(path, times=True):
    """All that can be said of one file."""
    status = os.lstat(path)
    kind = stat.S_IFMT(status.st_mode)
    said = {'type': oct(kind), 'uid': status.st_uid, 'gid': status.st_gid, 'xattrs': xattrs(path)}
    if times:
        said['mtime'] = status.st_mtime_ns
    if kind == stat.S_IFLNK:
        said['target'] = os.readlink(path)
    else:
        said['mode'] = oct(stat.S_IMODE(status.st_mode))
    if kind == stat.S_IFREG:
        said['size'] = status.st_size
        with open(path, 'rb') as file:
            said['content'] = hashlib.sha256(file.read()).hexdigest()
    if kind in (stat.S_IFCHR, stat.S_IFBLK):
        said['device'] = status.st_rdev
    return said


def tree(top, times=True):
    """Every file below `top` by its name, and which of them are the same."""
    found, inodes = {}, {}
    for parent, folders, files in os.walk(os.fsencode(top)):
        for name in folders + files:
            path = os.path.join(parent, name)
            short = os.path.relpath(path, os.fsencode(top))
            found[short] = describe(path, times)
            inodes.setdefault(os.lstat(path).st_ino, []).append(short)
    for names in inodes.values():
        if len(names) > 1:
            for name in names:
                found[name]['same'] = sorted(names)
    return found


def one_of_everything(top, root):
    """A folder with all that a layer may hold; `root`: also what only root can make."""
    def path(*names):
        return os.path.join(os.fsencode(top), *names)

    os.makedirs(path(b'usr', b'bin'))
    os.makedirs(path(b'empty'))
    for size in (0, 1, 511, 512, 513, 70000):
        with open(path(b'usr', b'size-%d' % size), 'wb') as file:
            file.write(os.urandom(size))
    with open(path(b'usr', b'bin', b'program'), 'wb') as file:
        file.write(b'#!/bin/sh\n')
    os.link(path(b'usr', b'bin', b'program'), path(b'usr', b'bin', b'again'))
    os.link(path(b'usr', b'bin', b'program'), path(b'a-link'))
    os.symlink('../etc/nothing', path(b'usr', b'broken'))
    os.symlink('/usr/bin/program', path(b'usr', b'absolute'))
    os.symlink('x' * 300, path(b'usr', b'long-target'))
    for name in (b'with\nnewline', b'\xff\xfe not utf-8', 'grüße'.encode(), b'-rf', b'a' * 255, b'100%=x'):
        with open(path(name), 'wb') as file:
            file.write(name)
    deep = path(*[b'deep' * 10] * 8)
    os.makedirs(deep)
    with open(os.path.join(deep, b'bottom'), 'wb') as file:
        file.write(b'bottom')
    os.mkfifo(path(b'fifo'))
    with open(path(b'holes'), 'wb') as file:
        for at in (0, 200000, 3000000):
            file.seek(at)
            file.write(b'data' * 2000)
        file.truncate(10_000_000)
    with open(path(b'hole-only'), 'wb') as file:
        file.truncate(64 << 20)
    os.setxattr(path(b'usr', b'size-1'), 'user.binary', b'\0\1=\n\xff')
    os.setxattr(path(b'usr'), 'user.of-a-folder', b'')
    if root:
        os.chown(path(b'usr', b'size-511'), 1000, 100)
        os.chown(path(b'usr', b'size-512'), 3_000_000, 3_000_001)
        os.lchown(path(b'usr', b'broken'), 33, 33)
        os.mknod(path(b'device'), 0o640 | stat.S_IFCHR, os.makedev(1, 3))
        os.mknod(path(b'block'), 0o600 | stat.S_IFBLK, os.makedev(259, 1000))
        os.setxattr(path(b'usr', b'size-0'), 'security.capability', bytes.fromhex(
            '0100000200200000000000000000000000000000'))
        os.setxattr(path(b'usr', b'size-1'), 'trusted.kept', b'\0')
    os.chmod(path(b'usr', b'bin', b'again'), 0o4755)
    os.chmod(path(b'usr', b'size-513'), 0o2711)
    os.chmod(path(b'empty'), 0o1777)
    os.chmod(path(b'usr'), 0o2775)
    for moment, name in ((1_000_000_000_123_456_789, b'usr/size-70000'), (0, b'hole-only'),
                         (-86400_000_000_000, b'holes'), (5_000_000_000_000_000_000, b'a-link')):
        os.utime(path(name), ns=(moment, moment))
    os.utime(path(b'usr', b'bin'), ns=(7_000_000_001, 7_000_000_001))
    os.utime(path(b'usr', b'broken'), ns=(8_000_000_001, 8_000_000_001), follow_symlinks=False)


def made_by(program, top, out, *options):
    commands = {
        'gnu': ['tar', '--sort=name', '--numeric-owner', '-C', top, '-cf', out],
        'bsd': ['bsdtar', '--numeric-owner', '-C', top, '-cf', out],
    }
    subprocess.run([*commands[program], *options, '.'], check=True, stderr=subprocess.DEVNULL)


def layout(path, layers):
    """An OCI layout of these archives, without compression; the image is called `it`."""
    blobs = os.path.join(path, 'blobs', 'sha256')
    os.makedirs(blobs)

    def blob(data, kind):
        name = hashlib.sha256(data).hexdigest()
        with open(os.path.join(blobs, name), 'wb') as file:
            file.write(data)
        return {'mediaType': f'application/vnd.oci.image.{kind}', 'digest': f'sha256:{name}', 'size': len(data)}

    described = [blob(layer, 'layer.v1.tar') for layer in layers]
    config = blob(json.dumps({
        'architecture': 'amd64', 'os': 'linux', 'config': {},
        'rootfs': {'type': 'layers', 'diff_ids': [one['digest'] for one in described]}}).encode(),
        'config.v1+json')
    manifest = blob(json.dumps({'schemaVersion': 2, 'config': config, 'layers': described}).encode(),
                    'manifest.v1+json')
    manifest['annotations'] = {'org.opencontainers.image.ref.name': 'it'}
    with open(os.path.join(path, 'index.json'), 'w') as file:
        json.dump({'schemaVersion': 2, 'manifests': [manifest]}, file)
    with open(os.path.join(path, 'oci-layout'), 'w') as file:
        file.write('{"imageLayoutVersion": "1.0.0"}')
    return path

#!/usr/bin/env python3
"""Layers from their archives, over the channel, as root or as an ordinary user (rootless).

    CAISSON_SUPERVISOR=build/…/caisson-supervisor unpack_test.py [unittest arguments]

What is made is held against what GNU tar makes of the same archive, and against what the archive was
made of. Every test ends with the question whether anything is left.
"""

import bz2
import ctypes
import errno
import gzip
import hashlib
import lzma
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'supervisor'))

from archives import (END, archive, describe, entry, folder, hard_link, header, layout, made_by,
                      one_of_everything, pax, record, symlink, tree, with_tarfile, xattrs)
from client import TAG, Supervisor, await_nothing_left, host_children

BINARY = os.environ.get('CAISSON_SUPERVISOR', '/usr/lib/caisson/caisson-supervisor')
SANITIZED = bool(os.environ.get('CAISSON_SANITIZED'))
ROOT = os.geteuid() == 0
MODE = 'root' if ROOT else 'rootless'
OPAQUE = 'trusted.overlay.opaque' if ROOT else 'user.overlay.opaque'
OMITTED = 'trusted.caisson.omitted' if ROOT else 'user.caisson.omitted'
MANY = 1 << 40


def sha256(data):
    return 'sha256:' + hashlib.sha256(data).hexdigest()


def zstd(data):
    return subprocess.run(['zstd', '-q', '-c'], input=data, stdout=subprocess.PIPE, check=True).stdout


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix='caisson-test-', dir=os.environ.get('TMPDIR', '/var/tmp'))
        self.addCleanup(lambda: subprocess.run(['rm', '-rf', self.folder], check=True))
        self.store = os.path.join(self.folder, 'store')
        self.run_folder = os.path.join(self.folder, 'run')
        for name in ('layers', 'containers'):
            os.makedirs(os.path.join(self.store, name))
        os.mkdir(self.run_folder, 0o700)
        self.outside = os.path.join(self.folder, 'outside')
        os.mkdir(self.outside)
        with open(os.path.join(self.outside, 'canary'), 'w') as file:
            file.write('sings')
        self.before = tree(self.outside)
        self.count = 0
        self.supervisor = Supervisor(BINARY, self.store, self.run_folder, MODE, args=self.ARGS)

    ARGS = ()

    def outcome(self, ident, reader):
        """What the supervisor answers, and what a worker has written to the pipe until then."""
        written = []

        def read():
            with os.fdopen(reader, 'rb') as stream:
                written.append(stream.read())

        thread = threading.Thread(target=read)
        thread.start()
        answer = self.supervisor.wait(ident, timeout=60)
        thread.join()
        return answer, written[0]

    def tearDown(self):
        if self.supervisor.process.code is None:
            pids = host_children(self.supervisor.process.pid)
            self.supervisor.hang_up()
            await_nothing_left(self.supervisor, pids)
        self.assertEqual(os.listdir(self.run_folder), [])
        self.assertEqual(tree(self.outside), self.before)

    def path(self, *names):
        return os.path.join(self.store, 'layers', *names)

    def file(self, data):
        self.count += 1
        path = os.path.join(self.folder, f'blob-{self.count}')
        with open(path, 'wb') as file:
            file.write(data)
        return path

    def request(self, blob, feed=None, offset=0, length=None, max_bytes=MANY, max_entries=MANY,
                target=None):
        """Sends one; `blob` is bytes, or a path. The id, and the layer's name."""
        path = self.file(blob) if isinstance(blob, bytes) else blob
        if target is None:
            self.count += 1
            target = f'layer-{self.count}'
        file = os.open(path, os.O_RDONLY)
        try:
            if length is None:
                length = os.fstat(file).st_size - offset
            ident = self.supervisor.send(
                'Unpack',
                [('UnpackTarget', f'layers/{target}'), ('UnpackOffset', offset),
                 ('UnpackLength', length), ('UnpackMaxBytes', max_bytes),
                 ('UnpackMaxEntries', max_entries)],
                [file] if feed is None else [file, feed])
        finally:
            os.close(file)
        return ident, target

    def unpack(self, blob, **options):
        """What it says, when it is done, and where the layer is."""
        ident, target = self.request(blob, **options)
        done = self.supervisor.wait(ident, timeout=120)
        self.assertEqual(done.type, 'Done', done)
        self.assertEqual(os.listdir(self.path()).count(target), 1)
        return done, self.path(target)

    def refused(self, blob, step, error, **options):
        ident, target = self.request(blob, **options)
        failed = self.supervisor.wait(ident, timeout=120)
        self.assertEqual(failed.type, 'Failed', failed)
        self.assertEqual((failed.step, errno.errorcode[failed.Errno]), (step, error), failed)
        self.assertFalse(os.path.lexists(self.path(target)))
        self.nothing_unfinished()
        return failed

    def nothing_unfinished(self):
        """What was begun is removed by a hand, soon."""
        scratch = os.path.join(self.store, 'scratch', self.supervisor.id, 'layers')
        until = time.monotonic() + 5
        while os.path.isdir(scratch) and os.listdir(scratch):
            self.assertLess(time.monotonic(), until, os.listdir(scratch))
            time.sleep(0.01)

    def workers(self, count=2):
        """The processes of an unpacking: the writer and its decoder, by their host pids; or that of an export."""
        until = time.monotonic() + 5
        while time.monotonic() < until:
            found = []
            for pid in host_children(self.supervisor.process.pid):
                try:
                    with open(f'/proc/{pid}/status') as file:
                        said = dict(line.rstrip('\n').split(':\t', 1) for line in file if ':\t' in line)
                except OSError:
                    continue
                if said.get('Seccomp') == '2' and said['NoNewPrivs'] == '1':
                    found.append((pid, said))
            if len(found) == count:
                return sorted(found)
            time.sleep(0.02)
        raise AssertionError('no workers')


def needs(program):
    """A skip that names it, or a failure where everything must be there."""
    missing = shutil.which(program) is None and not os.environ.get('REQUIRE_ALL')
    return unittest.skipIf(missing, f'needs {program}')


class SameAsTar(Case):
    def compare(self, out, *options):
        theirs = os.path.join(self.folder, 'theirs')
        os.mkdir(theirs)
        subprocess.run(['tar', '-xpf', out, '-C', theirs, '--numeric-owner', '--xattrs',
                        '--xattrs-include=*', *options], check=True, stderr=subprocess.DEVNULL)
        _, ours = self.unpack(out)
        expected = tree(theirs)
        self.assertEqual(tree(ours), expected)
        return ours, expected

    @staticmethod
    def blocks(path):
        return os.stat(path).st_blocks * 512

    def test_everything_by_gnu_tar(self):
        source = os.path.join(self.folder, 'source')
        one_of_everything(source, ROOT)
        # The user's own files are root's inside.
        expected = tree(source)
        for form in (['--format=posix', '--sparse-version=0.0'], ['--format=posix', '--sparse-version=0.1'],
                     ['--format=posix', '--sparse-version=1.0'], ['--format=posix'], ['--format=gnu']):
            with self.subTest(form=form):
                out = os.path.join(self.folder, 'out.tar')
                options = ['--sparse', *form] if form != ['--format=posix'] else form
                posix = form[0] == '--format=posix'
                if posix:
                    options += ['--xattrs', '--xattrs-include=*']
                made_by('gnu', source, out, *options)
                _, ours = self.unpack(out)
                found = tree(ours)
                if not posix:  # neither fractions nor xattrs
                    for said in (*expected.values(), *found.values()):
                        said['mtime'] = said['mtime'] // 10**9
                        said['xattrs'] = {}
                self.assertEqual(found, expected)
                if '--sparse' in options:
                    self.assertLess(self.blocks(os.path.join(ours, 'hole-only')), 1 << 20)
                    self.assertLess(self.blocks(os.path.join(ours, 'holes')), 1 << 20)

    @needs('bsdtar')
    def test_everything_by_bsdtar(self):
        source = os.path.join(self.folder, 'source')
        one_of_everything(source, ROOT)
        out = os.path.join(self.folder, 'out.tar')
        for form in ('pax', 'gnutar'):
            with self.subTest(form=form):
                made_by('bsd', source, out, '--format', form)
                _, ours = self.unpack(out)
                expected, found = tree(source), tree(ours)
                if form == 'gnutar':  # nor times before 1970
                    for said in (*expected.values(), *found.values()):
                        said['mtime'] = max(said['mtime'] // 10**9, 0)
                        said['xattrs'] = {}
                self.assertEqual(found, expected)

    def test_everything_by_tarfile(self):
        source = os.path.join(self.folder, 'source')
        one_of_everything(source, ROOT)
        os.unlink(os.path.join(source, 'hole-only'))  # it writes holes as zeros
        for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
            with self.subTest(form=form):
                data = with_tarfile(lambda tar: tar.add(source, '.'), format=form)
                _, ours = self.unpack(data)
                expected, found = tree(source), tree(ours)
                for said in (*expected.values(), *found.values()):
                    said['xattrs'] = {}
                    said['mtime'] = said['mtime'] // 10**9  # its times are floating point
                self.assertEqual(found, expected)

    @unittest.skipIf(SANITIZED or not ROOT, 'root makes one, once')
    @needs('mmdebstrap')
    @needs('umoci')
    def test_debian(self):
        out = os.environ.get('CAISSON_DEBIAN_TAR')
        if not out:
            out = os.path.join(self.folder, 'debian.tar')
            subprocess.run(['mmdebstrap', '--quiet', '--variant=minbase', '--dpkgopt=force-unsafe-io',
                            'bookworm', out], check=True, stderr=subprocess.DEVNULL)
        _, expected = self.compare(out)
        self.assertGreater(len(expected), 5000)
        for codec in (['gzip', '-1c'], ['zstd', '-qc']):
            packed = os.path.join(self.folder, 'packed')
            with open(packed, 'wb') as to:
                subprocess.run([*codec, out], stdout=to, check=True)
            done, ours = self.unpack(packed)
            self.assertEqual(tree(ours), expected)
            with open(out, 'rb') as file:
                self.assertEqual(done.UnpackDiffId, sha256(file.read()))
        with open(out, 'rb') as file:
            image = layout(os.path.join(self.folder, 'layout'), [file.read()])
        bundle = os.path.join(self.folder, 'bundle')
        subprocess.run(['umoci', 'unpack', '--image', f'{image}:it', bundle], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.assertEqual(tree(os.path.join(bundle, 'rootfs')), expected)

    def test_ids_of_others(self):
        data = archive(entry(b'theirs', uid=1234, gid=70000, mode=0o4755))
        _, layer = self.unpack(data)
        said = os.stat(os.path.join(layer, 'theirs'))
        mine = (1234, 70000) if ROOT else (os.getuid(), os.getgid())
        self.assertEqual((said.st_uid, said.st_gid), mine)
        self.assertEqual(stat.S_IMODE(said.st_mode), 0o4755)


def subordinate(kind):
    """The first range of ids that this user may map, and what to tell the supervisor of it."""
    user = pwd.getpwuid(os.getuid()).pw_name
    program = f'/usr/bin/new{kind}map'
    try:
        with open(f'/etc/sub{kind}') as file:
            ranges = [line.strip().split(':') for line in file if line.startswith(f'{user}:')]
    except OSError:
        return None
    if not ranges or not os.path.exists(program):
        return None
    own = os.getuid() if kind == 'uid' else os.getgid()
    first, count = int(ranges[0][1]), int(ranges[0][2])
    return first, count, (f'--new{kind}map', program, f'--{kind}-map', f'0:{own}:1,1:{first}:{count}')


USERS, GROUPS = (None, None) if ROOT else (subordinate('uid'), subordinate('gid'))


@unittest.skipUnless(USERS and GROUPS, 'needs an ordinary user with subordinate ids')
class SubordinateIds(Case):
    ARGS = (*USERS[2], *GROUPS[2]) if USERS and GROUPS else ()

    def tearDown(self):
        # What others own, they remove; the supervisor's user is one of them.
        for name in os.listdir(self.path()):
            self.assertEqual(self.supervisor.call('Remove', [('Folder', f'layers/{name}')]).type, 'Done')
        super().tearDown()

    def test_owners_and_what_is_said_of_them(self):
        capability = bytes.fromhex('0100000200200000000000000000000000000000')
        acl = bytes.fromhex('02000000' '01000600ffffffff' '0200040021000000' '04000400ffffffff'
                            '10000400ffffffff' '20000400ffffffff')
        beyond = USERS[1] + 1
        _, layer = self.unpack(archive(
            folder(b'd', uid=33, gid=42, mode=0o2770), entry(b'd/f', uid=33),
            pax([(b'SCHILY.xattr.security.capability', capability),
                 (b'SCHILY.xattr.system.posix_acl_access', acl)]),
            entry(b'f', b'x', uid=33, gid=42, mode=0o644),
            pax([(b'SCHILY.xattr.system.posix_acl_access', acl.replace(b'\x21\0\0\0', b'\0\0\0\x7f'))]),
            entry(b'half-acl'),
            pax([(b'uid', b'%d' % beyond)]), entry(b'half', gid=42),
            pax([(b'uid', b'%d' % beyond), (b'gid', b'%d' % beyond)]), symlink(b'none', b'x')))
        owners = {name: os.lstat(os.path.join(layer, name)) for name in ('d', 'half', 'none')}
        # Seen from outside: capabilities of that root alone, and an ACL of ids out here.
        said = xattrs(os.path.join(layer, 'f'))
        self.assertEqual(said['security.capability'],
                         b'\1\0\0\3' + capability[4:] + os.getuid().to_bytes(4, 'little'))
        self.assertEqual(said['system.posix_acl_access'][16:20],
                         (USERS[0] + 32).to_bytes(4, 'little'))
        self.assertEqual({name: (said.st_uid, said.st_gid) for name, said in owners.items()}, {
            'd': (USERS[0] + 32, GROUPS[0] + 41), 'half': (os.getuid(), GROUPS[0] + 41),
            'none': (os.getuid(), os.getgid())})
        self.assertEqual(stat.S_IMODE(owners['d'].st_mode), 0o2770)
        self.assertEqual(xattrs(os.path.join(layer, 'half-acl')), {})


class Codecs(Case):
    DATA = archive(folder(b'a'), entry(b'a/b', b'content' * 50_000)) + b'trailing' * 1000

    def good(self, blob, **options):
        done, layer = self.unpack(blob, **options)
        self.assertEqual(done.UnpackDiffId, sha256(self.DATA))
        self.assertEqual((done.UnpackTarBytes, done.UnpackEntries), (len(self.DATA), 2))
        with open(os.path.join(layer, 'a', 'b'), 'rb') as file:
            self.assertEqual(file.read(), b'content' * 50_000)
        return done

    def test_plain_gzip_and_zstd(self):
        for blob in (self.DATA, gzip.compress(self.DATA), zstd(self.DATA)):
            self.assertEqual(self.good(blob).UnpackBlobDigest, sha256(blob))

    def test_several_streams_in_one(self):
        parts = [self.DATA[at:at + 100_000] for at in range(0, len(self.DATA), 100_000)]
        members = b''.join(map(gzip.compress, parts))
        self.good(members)
        blob = members + bytes(5000)
        self.assertEqual(self.good(blob).UnpackBlobDigest, sha256(blob))
        skippable = b'\x5a\x2a\x4d\x18\x05\0\0\0hello'
        self.good(skippable + skippable.join(map(zstd, parts)) + skippable)

    def test_a_part_of_a_file(self):
        blob = gzip.compress(self.DATA)
        done = self.good(b'before' + blob + b'after', offset=6, length=len(blob))
        self.assertEqual(done.UnpackBlobDigest, sha256(blob))

    def test_nothing(self):
        for data in (b'', bytes(512), bytes(1024), bytes(10240)):
            for blob in (data, gzip.compress(data), zstd(data)):
                done, layer = self.unpack(blob)
                self.assertEqual((done.UnpackEntries, done.UnpackDiffId), (0, sha256(data)))
                self.assertEqual(os.listdir(layer), [])

    def test_damaged(self):
        for blob in (gzip.compress(self.DATA), zstd(self.DATA)):
            for at in (len(blob) // 2, len(blob) - 5):
                broken = bytearray(blob)
                broken[at] ^= 0x55
                with self.subTest(at=at, magic=blob[:2]):
                    ident, target = self.request(bytes(broken))
                    answer = self.supervisor.wait(ident)
                    if answer.type == 'Done':  # zstd's frames here have no checksum of all bytes
                        self.assertNotEqual(answer.UnpackDiffId, sha256(self.DATA))
                    else:
                        self.assertIn(answer.step, ('UnpackDecode', 'UnpackTar'), answer)
            for cut in (1, 9, len(blob) // 2):
                self.refused(blob[:-cut], 'UnpackDecode', 'EBADMSG')
        self.refused(gzip.compress(self.DATA) + b'more', 'UnpackDecode', 'EBADMSG')
        self.refused(zstd(self.DATA) + b'more', 'UnpackDecode', 'EBADMSG')
        self.refused(gzip.compress(self.DATA) + bytes(9) + b'm', 'UnpackDecode', 'EBADMSG')

    def test_others_by_name(self):
        for blob, name in ((bz2.compress(self.DATA), 'bzip2'), (lzma.compress(self.DATA), 'xz')):
            failed = self.refused(blob, 'UnpackDecode', 'ENOTSUP')
            self.assertEqual(failed.Detail, name)

    def test_a_file_shorter_than_said(self):
        self.refused(self.DATA[:100], 'Unpack', 'ENODATA', length=len(self.DATA))


class Feed(Case):
    BLOB = gzip.compress(Codecs.DATA)

    def fed(self, pieces, cut=0, delay=0.0):
        path = self.file(b'')
        read, write = os.pipe()
        ident, target = self.request(path, feed=read, length=len(self.BLOB))
        os.close(read)
        done = 0
        with open(path, 'ab', buffering=0) as file:
            for at in range(0, len(self.BLOB) - cut, pieces):
                piece = self.BLOB[at:min(at + pieces, len(self.BLOB) - cut)]
                file.write(piece)
                done += len(piece)
                os.write(write, done.to_bytes(8, sys.byteorder))
                time.sleep(delay)
        os.close(write)
        return self.supervisor.wait(ident), target

    def test_while_it_comes(self):
        for pieces, delay in ((1, 0), (100, 0.005), (10_000, 0)):
            done, target = self.fed(pieces, delay=delay)
            self.assertEqual(done.type, 'Done', done)
            self.assertEqual(done.UnpackBlobDigest, sha256(self.BLOB))
            self.assertEqual(done.UnpackDiffId, sha256(Codecs.DATA))

    def test_its_end_before_the_end(self):
        for cut in (1, len(self.BLOB) - 1):
            failed, target = self.fed(100, cut=cut)
            self.assertEqual((failed.type, failed.step, errno.errorcode[failed.Errno]),
                             ('Failed', 'Unpack', 'ECANCELED'), failed)
            self.assertFalse(os.path.exists(self.path(target)))
        self.nothing_unfinished()

    def test_what_cannot_be(self):
        for said in (len(self.BLOB) + 1, 2**64 - 1):
            read, write = os.pipe()
            ident, _ = self.request(self.BLOB, feed=read)
            os.write(write, said.to_bytes(8, sys.byteorder))
            failed = self.supervisor.wait(ident)
            self.assertEqual(errno.errorcode[failed.Errno], 'EPROTO', failed)
            os.close(read)
            os.close(write)


class Layers(Case):
    def kinds(self, layer):
        """What each name is: a letter, W for a whiteout; with O what hides the layers below."""
        said = {}
        for name in tree(layer):
            path = os.path.join(os.fsencode(layer), name)
            status = os.lstat(path)
            kind = {stat.S_IFREG: 'f', stat.S_IFDIR: 'd', stat.S_IFLNK: 'l', stat.S_IFIFO: 'p',
                    stat.S_IFCHR: 'W' if status.st_rdev == 0 else 'c'}[stat.S_IFMT(status.st_mode)]
            if OPAQUE in xattrs(path, ours=True):
                self.assertEqual(os.getxattr(path, OPAQUE), b'y')
                kind += 'O'
            said[name.decode()] = kind
        return said

    def check(self, parts, expected):
        done, layer = self.unpack(archive(*parts))
        self.assertEqual(self.kinds(layer), expected)
        return done, layer

    def test_whiteouts_in_any_order(self):
        self.check([entry(b'.wh.gone'), entry(b'd/.wh.x')], {'gone': 'W', 'd': 'd', 'd/x': 'W'})
        # What the same layer has under that name stays, and hides what lies below.
        for parts in ([entry(b'.wh.f'), entry(b'f')], [entry(b'f'), entry(b'.wh.f')]):
            self.check(parts, {'f': 'f'})
        for parts in ([entry(b'.wh.d'), folder(b'd'), entry(b'd/f')],
                      [folder(b'd'), entry(b'd/f'), entry(b'.wh.d')],
                      [entry(b'.wh.d'), entry(b'd/f')],
                      [entry(b'd/f'), entry(b'.wh.d')],
                      [entry(b'.wh.d'), entry(b'd/f'), folder(b'd')]):
            _, layer = self.check(parts, {'d': 'dO', 'd/f': 'f'})
            self.assertNotIn(OMITTED, os.listxattr(os.path.join(layer, 'd')))
        self.check([entry(b'.wh.l'), symlink(b'l', b'x')], {'l': 'l'})
        self.check([entry(b'.wh.x'), entry(b'.wh.x')], {'x': 'W'})

    def test_opaque_folders_in_any_order(self):
        inside = [entry(b'd/a'), folder(b'd/sub'), entry(b'd/sub/b')]
        expected = {'d': 'dO', 'd/a': 'f', 'd/sub': 'd', 'd/sub/b': 'f'}
        opaque = entry(b'd/.wh..wh..opq')
        for parts in ([folder(b'd'), opaque, *inside], [folder(b'd'), *inside, opaque],
                      [opaque, folder(b'd'), *inside], [opaque, *inside], [*inside, opaque]):
            self.check(parts, expected)
        done, layer = self.check([entry(b'.wh..wh..opq'), entry(b'f')], {'f': 'f'})
        self.assertEqual(done.UnpackHidesAll, 1)
        self.assertIn(OPAQUE, os.listxattr(layer))

    def test_names_of_whiteouts_that_are_none(self):
        for name in (b'.wh.', b'd/.wh.', b'.wh..', b'.wh...', b'.wh.d/f', b'a/.wh.b/c'):
            failed = self.refused(archive(entry(name)), 'UnpackWrite', 'EINVAL')
            self.assertEqual(failed.Detail, name.decode())
        # AUFS's own.
        self.check([folder(b'.wh..wh.plnk'), entry(b'.wh..wh.plnk/1.2'), entry(b'.wh..wh.aufs'),
                    entry(b'f', b'x')], {'f': 'f'})

    def test_devices_that_are_no_whiteouts(self):
        self.check([entry(b'd', kind=b'3'), entry(b'f')], {'f': 'f'})
        parts = [entry(b'null', kind=b'3', major=1, minor=3)]
        self.check(parts, {'null': 'c'} if ROOT else {})

    def test_entries_that_come_again(self):
        one, two = entry(b'x', b'one'), entry(b'x', b'two')
        _, layer = self.check([one, two], {'x': 'f'})
        with open(os.path.join(layer, 'x')) as file:
            self.assertEqual(file.read(), 'two')
        self.check([one, folder(b'x')], {'x': 'dO'})
        self.check([folder(b'x'), entry(b'x/y'), one], {'x': 'f'})
        self.check([folder(b'x'), entry(b'x/y'), folder(b'x', mode=0o700)], {'x': 'd', 'x/y': 'f'})
        self.check([folder(b'x'), folder(b'x/y'), entry(b'x', kind=b'6')], {'x': 'p'})
        self.check([symlink(b'x', b'y'), folder(b'x'), entry(b'x/f')], {'x': 'dO', 'x/f': 'f'})
        _, layer = self.check([folder(b'x', mode=0o755), folder(b'x', mode=0o711, mtime=5)], {'x': 'd'})
        self.assertEqual(os.stat(os.path.join(layer, 'x')).st_mode & 0o7777, 0o711)
        self.assertEqual(os.stat(os.path.join(layer, 'x')).st_mtime, 5)
        # A link to what is replaced later keeps what it was.
        _, layer = self.check([one, hard_link(b'y', b'x'), two], {'x': 'f', 'y': 'f'})
        with open(os.path.join(layer, 'y')) as file:
            self.assertEqual(file.read(), 'one')
        self.check([one, hard_link(b'x', b'x')], {'x': 'f'})

    def test_xattrs_of_overlay_and_ours_are_dropped(self):
        names = [b'trusted.overlay.opaque', b'trusted.overlay.redirect', b'trusted.overlay.metacopy',
                 b'trusted.overlay.whiteout', b'user.overlay.opaque', b'user.overlay.redirect',
                 b'user.overlay.origin', b'trusted.caisson.omitted', b'user.caisson.omitted',
                 b'security.selinux', b'security.ima']
        records = [(b'SCHILY.xattr.' + name, b'y') for name in names]
        _, layer = self.unpack(archive(pax(records), folder(b'd'), pax(records), entry(b'f')))
        for name in ('d', 'f'):
            found = [key for key in os.listxattr(os.path.join(layer, name)) if key != 'security.selinux']
            self.assertEqual(found, [])

    def test_links_of_the_layer_are_followed_within_it(self):
        _, layer = self.check(
            [folder(b'usr'), folder(b'usr/lib'), symlink(b'lib', b'usr/lib'), entry(b'lib/x', b'x'),
             symlink(b'abs', b'/usr/../../../usr/lib'), entry(b'abs/y', b'y'),
             symlink(b'new', b'opt/new'), entry(b'new/z', b'z'), hard_link(b'h', b'lib/x')],
            {'usr': 'd', 'usr/lib': 'd', 'lib': 'l', 'usr/lib/x': 'f', 'abs': 'l', 'usr/lib/y': 'f',
             'new': 'l', 'opt': 'd', 'opt/new': 'd', 'opt/new/z': 'f', 'h': 'f'})
        self.refused(archive(symlink(b'a', b'b'), symlink(b'b', b'a'), entry(b'a/x')),
                     'UnpackWrite', 'ELOOP')
        self.refused(archive(entry(b'a'), entry(b'a/x')), 'UnpackWrite', 'ENOTDIR')

    def test_the_top(self):
        _, layer = self.unpack(archive(folder(b'./', mode=0o751, mtime=77), entry(b'f')))
        said = os.stat(layer)
        self.assertEqual((said.st_mode & 0o7777, said.st_mtime), (0o751, 77))
        _, layer = self.unpack(archive(entry(b'f')))
        self.assertEqual(os.stat(layer).st_mode & 0o7777, 0o755)
        self.refused(archive(entry(b'./', b'x')), 'UnpackWrite', 'EISDIR')

    def test_global_headers(self):
        data = archive(pax([(b'mtime', b'99.5'), (b'SCHILY.xattr.user.all', b'\0x'), (b'comment', b'c')],
                           kind=b'g'),
                       entry(b'a'), pax([(b'mtime', b'1')]), entry(b'b'))
        _, layer = self.unpack(data)
        self.assertEqual([os.stat(os.path.join(layer, n)).st_mtime for n in 'ab'], [99.5, 1])
        self.assertEqual(os.getxattr(os.path.join(layer, 'b'), 'user.all'), b'\0x')


def unwritten(path):
    """Pages of a file that are not on the disk (cachestat(2)); None where the kernel does not tell."""
    libc = ctypes.CDLL(None, use_errno=True)
    everything, found = (ctypes.c_uint64 * 2)(0, 0), (ctypes.c_uint64 * 5)()
    file = os.open(path, os.O_RDONLY)
    try:
        if libc.syscall(451, file, everything, found, 0) != 0:
            return None
    finally:
        os.close(file)
    _cached, dirty, writeback = found[:3]
    return dirty + writeback


class Synced(Case):
    def test_on_the_disk(self):
        for _ in range(3):  # others may sync, too, but not each time
            _done, layer = self.unpack(archive(entry(b'file', os.urandom(4 << 20))))
            file = os.path.join(layer, 'file')
            if unwritten(file) is None:
                self.skipTest('Linux before 6.5 has no cachestat(2)')
            if unwritten(file):
                break
        else:
            self.skipTest('this file system writes everything at once')
        self.assertEqual(self.supervisor.call('Sync').type, 'Done')
        self.assertEqual(unwritten(file), 0)

    def test_nothing_is_asked(self):
        failed = self.supervisor.call('Sync', [('UnpackTarget', 'layers/x')])
        self.assertEqual((failed.type, failed.Errno), ('Failed', errno.EBADMSG))


class Settled(Case):
    def layer(self, *parts):
        done, path = self.unpack(archive(*parts))
        return done, f'layers/{os.path.basename(path)}', path

    def settle(self, target, *lower):
        done = self.supervisor.call('Settle', [('UnpackTarget', target), *(('Layer', l) for l in lower)])
        self.assertEqual(done.type, 'Done', done)

    def test_parents_become_what_they_are_below(self):
        _, low, low_path = self.layer(
            folder(b'tmp', mode=0o1777, mtime=11), folder(b'etc', mode=0o700),
            pax([(b'SCHILY.xattr.user.mine', b'\0z')]), folder(b'etc/x', mode=0o750, mtime=13, uid=5))
        _, mid, _ = self.layer(folder(b'etc', mode=0o711, mtime=17))
        done, top, path = self.layer(entry(b'tmp/f'), entry(b'etc/x/y/f'), folder(b'etc/own', mode=0o701))
        self.assertEqual(done.UnpackOmitted, 4)
        self.assertIn(OMITTED, os.listxattr(os.path.join(path, 'tmp')))
        self.settle(top, low, mid)
        found = tree(path)
        self.assertEqual(found[b'tmp'], describe(os.path.join(low_path, 'tmp')))
        self.assertEqual(found[b'etc/x'], describe(os.path.join(low_path, 'etc', 'x')))
        self.assertEqual((found[b'etc']['mode'], found[b'etc']['mtime']), ('0o711', 17 * 10**9))
        self.assertEqual((found[b'etc/x/y']['mode'], found[b'etc/own']['mode']), ('0o755', '0o701'))
        for name in ('tmp', 'etc', 'etc/x', 'etc/x/y'):
            self.assertNotIn(OMITTED, os.listxattr(os.path.join(path, name)))
        # Again, and without anything below.
        self.settle(top, low, mid)
        self.assertEqual(tree(path), found)

    def test_what_is_hidden_in_between_counts_for_nothing(self):
        _, low, _ = self.layer(folder(b'a', mode=0o700), folder(b'a/b', mode=0o700))
        for hiding in ([entry(b'.wh.a')], [folder(b'a'), entry(b'a/.wh.b')], [entry(b'a')],
                       [symlink(b'a', b'x')], [folder(b'a'), entry(b'a/.wh..wh..opq')]):
            _, mid, _ = self.layer(*hiding)
            _, top, path = self.layer(entry(b'a/b/c'))
            self.settle(top, low, mid)
            self.assertEqual(tree(path)[b'a/b']['mode'], '0o755', hiding)
        # Nor what the layer itself hides.
        _, top, path = self.layer(folder(b'a'), entry(b'a/.wh..wh..opq'), entry(b'a/b/c'))
        self.settle(top, low)
        self.assertEqual(tree(path)[b'a/b']['mode'], '0o755')

    def test_whiteouts_of_nothing_go_away(self):
        _, low, _ = self.layer(folder(b'a'), entry(b'a/x'), folder(b'b'), entry(b'f'))
        done, top, path = self.layer(
            folder(b'a', mtime=5), entry(b'a/.wh.x'), folder(b'b', mtime=6), entry(b'b/.wh.x'),
            entry(b'b/.wh..wh..opq'), folder(b'b/in'), entry(b'b/in/.wh.x'), folder(b'c', mtime=7),
            entry(b'c/.wh.x'), entry(b'.wh.y'), folder(b'f', mtime=8), entry(b'f/.wh.x'))
        self.assertEqual(done.UnpackOmitted, 6)
        self.settle(top, low)
        found = tree(path)
        # Only where a folder below is merged with it does overlay look for them, and there is no need
        # to know whether they hide something.
        self.assertEqual({name for name, said in found.items() if said['type'] == oct(stat.S_IFCHR)},
                         {b'a/x', b'y'})
        self.assertEqual([found[name]['mtime'] // 10**9 for name in (b'a', b'b', b'c', b'f')], [5, 6, 7, 8])
        # The lowest layer merges with nothing.
        _, lowest, path = self.layer(entry(b'.wh.y'), entry(b'g'))
        self.settle(lowest)
        self.assertEqual(list(tree(path)), [b'g'])

    def test_what_cannot_be_settled(self):
        _, low, _ = self.layer(folder(b'a'))
        for fields in ([], [('Layer', low)], [('UnpackTarget', low), ('UnpackTarget', low)],
                       [('UnpackTarget', '../x')], [('UnpackTarget', 'layers')],
                       [('UnpackTarget', low), ('Layer', '/etc')]):
            self.assertEqual(self.supervisor.call('Settle', fields).step, 'Parse')
        failed = self.supervisor.call('Settle', [('UnpackTarget', 'layers/none')])
        self.assertEqual((failed.step, errno.errorcode[failed.Errno], failed.Detail),
                         ('Settle', 'ENOENT', 'layers/none'))


class Hostile(Case):
    """The tree outside is unchanged after each of them: tearDown looks."""

    def link_out(self):
        return os.path.relpath(self.outside, self.path('layer-1')).encode()

    def test_names_that_lead_out(self):
        for name in (b'../x', b'../../outside/canary', b'a/../../x', b'..', b'/../x', b'./.././x'):
            for make in (entry, folder, lambda n: symlink(n, b'x'), lambda n: hard_link(n, b'y')):
                self.refused(archive(entry(b'y'), make(name)), 'UnpackWrite', 'EXDEV')
        # An absolute one is one of the layer.
        out = os.path.join(self.outside, 'canary').encode()
        _, layer = self.unpack(archive(entry(out, b'caught'), entry(b'//twice//x/./y')))
        with open(layer + out.decode()) as file:
            self.assertEqual(file.read(), 'caught')
        self.assertIn(b'twice/x/y', tree(layer))

    def test_links_that_lead_out(self):
        for target in (self.outside.encode(), b'../' * 30 + self.outside.encode()[1:], b'/', b'..',
                       b'/proc/self/cwd/..', b'/proc/1/root'):
            # What is written through them lands inside, where they would lead in a container.
            link = pax([(b'linkpath', target)]) + symlink(b'l', b'')
            data = archive(link, entry(b'l/canary', b'caught'), entry(b'l/.wh.canary'),
                           entry(b'l/new'), folder(b'l/sub', mode=0o777), link,
                           hard_link(b'h', b'l'), entry(b'.wh.l'))
            _, layer = self.unpack(data)
            self.assertEqual(os.readlink(os.path.join(layer, 'h')), target.decode())

    def test_write_through_a_link_in_the_place_of_a_file(self):
        out = os.path.join(self.outside, 'canary').encode()
        for target in (out, b'../' * 30 + out[1:]):
            _, layer = self.unpack(archive(symlink(b'f', target), entry(b'f', b'caught', mode=0o777)))
            self.assertEqual(tree(layer)[b'f']['type'], oct(stat.S_IFREG))
            _, layer = self.unpack(archive(symlink(b'f', target), folder(b'f', mode=0o777)))
            self.assertEqual(tree(layer)[b'f']['type'], oct(stat.S_IFDIR))
            # Attributes are those of the link.
            records = [(b'SCHILY.xattr.user.x', b'y')]
            self.unpack(archive(pax(records), symlink(b'f', target, mode=0o777, mtime=5)))

    def test_hard_links_to_outside(self):
        out = os.path.join(self.outside, 'canary').encode()
        for target in (out, b'/etc/passwd', b'none', b'd/none'):
            self.refused(archive(folder(b'd'), hard_link(b'h', target)), 'UnpackWrite', 'ENOENT')
        for target in (b'../' * 30 + out[1:], b'../outside/canary'):
            self.refused(archive(hard_link(b'h', target)), 'UnpackWrite', 'EXDEV')
        self.refused(archive(symlink(b'l', self.outside.encode()), hard_link(b'h', b'l/canary')),
                     'UnpackWrite', 'ENOENT')
        self.refused(archive(folder(b'd'), hard_link(b'h', b'd')), 'UnpackWrite', 'EPERM')
        # A whiteout is nothing to link to.
        self.refused(archive(entry(b'.wh.x'), hard_link(b'h', b'x')), 'UnpackWrite', 'ENOENT')

    def test_headers_that_are_none(self):
        good = header(b'f')
        bad = {
            'checksum': header(b'f', checksum=1) + END,
            'letters in the size': header(b'f', raw_size=b'123x4567\0\0\0\0') + END,
            'negative size': header(b'f', raw_size=b'\xff' * 11 + b'\x80') + END,
            'size beyond 63 bits': header(b'f', raw_size=b'\x80' + b'\0' * 2 + b'\x80' + b'\0' * 8) + END,
            'cut off header': good[:300],
            'cut off content': header(b'f', size=1000) + bytes(512),
            'header of nothing': pax([(b'path', b'x')]) + END,
            'lone zero block': good + bytes(512) + good + END,
            'NUL in a name': pax([(b'path', b'a\0b')]) + good + END,
            'NUL in a link': pax([(b'linkpath', b'a\0b')]) + symlink(b'f', b'x') + END,
            'no owner': pax([(b'uid', b'4294967295')]) + good + END,
            'negative owner': pax([(b'gid', b'-1')]) + good + END,
            'a huge owner': pax([(b'uid', b'9' * 30)]) + good + END,
            'negative pax size': pax([(b'size', b'-1')]) + good + END,
            'huge pax size': pax([(b'size', b'9223372036854775808')]) + good + END,
            'a time that is none': pax([(b'mtime', b'1.5x')]) + good + END,
            'a huge extended header': header(b'x', kind=b'x', size=(1 << 20) + 1) + END,
            'a huge name': header(b'x', kind=b'L', size=1 << 33) + END,
            'too many extended headers': pax([(b'comment', b'x')]) * 17 + good + END,
            'too many global headers': pax([(b'comment', b'x' * 1000)], kind=b'g') * 1000 + good + END,
            'too many xattrs': pax([(b'SCHILY.xattr.user.%d' % i, b'') for i in range(1025)]) + good + END,
            'a record that is too long': entry(b'x', b'99 path=x\n', kind=b'x') + good + END,
            'a record that is too short': entry(b'x', b'3 path=x\n', kind=b'x') + good + END,
            'a record without a number': entry(b'x', b'path=xxxxxxxxxxxxxxx\n', kind=b'x') + good + END,
            'a record without a value': entry(b'x', b'7 path\n', kind=b'x') + good + END,
        }
        for name, data in bad.items():
            with self.subTest(name):
                failed = self.refused(data, 'UnpackTar', 'EBADMSG')
                self.assertNotEqual(failed.Detail, '')
        for kind in (b'M', b'N', b'A', b'\xff', b'8', b's'):
            with self.subTest(kind):
                self.refused(archive(entry(b'f', kind=kind)), 'UnpackTar', 'ENOTSUP')

    def test_an_end_that_is_left_out(self):
        # What is written in Go may leave out the end, and what fills up the last block: umoci's `insert` does.
        data = folder(b'd') + header(b'd/f', size=10) + b'0123456789'
        for more in (b'', bytes(502), bytes(502) + bytes(512), bytes(502) + END):
            with self.subTest(len(more)):
                _, layer = self.unpack(data + more)
                self.assertEqual(tree(layer)[b'd/f']['type'], oct(stat.S_IFREG))

    def test_sparse_maps_that_are_none(self):
        def old(*pieces, size=10000, stored=512, more=b'\0'):
            block = bytearray(header(b's', kind=b'S', size=stored, magic=b'ustar  \0'))
            block[345:500] = bytes(155)
            for i, (offset, length) in enumerate(pieces):
                block[386 + 24 * i:398 + 24 * i] = b'%011o\0' % offset
                block[398 + 24 * i:410 + 24 * i] = b'%011o\0' % length
            block[482:483] = more
            block[483:495] = b'%011o\0' % size
            block[148:156] = b' ' * 8
            block[148:156] = b'%06o\0 ' % sum(block)
            return bytes(block) + bytes(stored)

        _, layer = self.unpack(archive(old((5000, 512))))
        self.assertEqual(os.stat(os.path.join(layer, 's')).st_size, 10000)

        def sparse(*records, data=b''):
            return pax(records) + entry(b's', data)

        bad = {
            'overlapping': old((5000, 512), (5100, 10), stored=522),
            'beyond the end': old((9900, 512)),
            'more than there is': old((0, 1024)),
            'less than there is': old((0, 100)),
            'without its blocks': old((0, 512), more=b'\1', stored=0),
            'half a piece': sparse((b'GNU.sparse.size', b'10'), (b'GNU.sparse.map', b'1'), data=b'x'),
            'no size': sparse((b'GNU.sparse.map', b'1,1'), data=b'x'),
            'backwards': sparse((b'GNU.sparse.size', b'10'), (b'GNU.sparse.map', b'5,1,0,1'), data=b'xx'),
            'overflow': sparse((b'GNU.sparse.size', b'10'),
                               (b'GNU.sparse.map', b'9223372036854775807,1'), data=b'x'),
            '1.0 without text': sparse((b'GNU.sparse.major', b'1'), (b'GNU.sparse.minor', b'0'),
                                       (b'GNU.sparse.realsize', b'10')),
            '1.0 of letters': sparse((b'GNU.sparse.major', b'1'), (b'GNU.sparse.minor', b'0'),
                                     (b'GNU.sparse.realsize', b'10'), data=b'one\n' * 128),
            '1.0 of too many': sparse((b'GNU.sparse.major', b'1'), (b'GNU.sparse.minor', b'0'),
                                      (b'GNU.sparse.realsize', b'10'), data=b'99999999\n' * 512),
        }
        for name, data in bad.items():
            with self.subTest(name):
                self.refused(data + END, 'UnpackTar', 'EBADMSG')

    def test_names_too_long_and_trees_too_deep(self):
        self.refused(archive(pax([(b'path', b'x' * 256)]), entry(b'f')), 'UnpackWrite', 'ENAMETOOLONG')
        for path in (b'd/' * 2500 + b'f', b'x' * 255 + b'/' + b'y/' * 2000 + b'f'):
            self.refused(archive(pax([(b'path', path)]), entry(b'f')), 'UnpackWrite', 'ENAMETOOLONG')
        deep = b'd/' * 2000 + b'f'
        _, layer = self.unpack(archive(pax([(b'path', deep)]), entry(b'f')))
        depth = int(subprocess.run(f'find {layer} -type d | wc -l', shell=True, stdout=subprocess.PIPE).stdout)
        self.assertEqual(depth, 2001)
        # Replaced, which takes all of it away.
        _, layer = self.unpack(archive(pax([(b'path', deep)]), entry(b'f'), entry(b'd', b'x')))
        self.assertEqual(list(tree(layer)), [b'd'])
        # By way of links, too.
        self.refused(archive(
            pax([(b'path', b'd/' * 1500 + b'x')]), entry(b'f'),
            pax([(b'path', b'l'), (b'linkpath', b'd/' * 1500)]), symlink(b'l', b'x'),
            pax([(b'path', b'l/' + b'e/' * 1500 + b'f')]), entry(b'f')), 'UnpackWrite', 'ENAMETOOLONG')

    def test_limits(self):
        data = archive(*(entry(b'f%d' % i) for i in range(100)))
        done, _ = self.unpack(data, max_bytes=len(data), max_entries=100)
        failed = self.refused(data, 'Unpack', 'EFBIG', max_bytes=len(data) - 1)
        self.assertEqual(failed.Index, TAG['UnpackMaxBytes'])
        failed = self.refused(data, 'Unpack', 'EFBIG', max_entries=99)
        self.assertEqual(failed.Index, TAG['UnpackMaxEntries'])

    def test_a_million_entries(self):
        one = entry(b'same')
        blob = subprocess.run(['gzip', '-1c'], input=one * (1_000_000 if not SANITIZED else 50_000) + END,
                              stdout=subprocess.PIPE, check=True).stdout
        self.refused(blob, 'Unpack', 'EFBIG', max_entries=20_000)
        # Folder by folder: what is remembered of each is little.
        data = b''.join(folder(b'%d' % i) for i in range(20_000)) + END
        done, layer = self.unpack(data)
        self.assertEqual(len(os.listdir(layer)), 20_000)

    def test_bombs(self):
        # 100 GiB of zeros, in one member after the other.
        zeros = gzip.compress(bytes(64 << 20), 9)
        start = gzip.compress(header(b'bomb', raw_size=b'\x80' + (100 << 30).to_bytes(11, 'big')))
        before = time.monotonic()
        failed = self.refused(start + zeros * 1600, 'Unpack', 'EFBIG', max_bytes=100 << 20)
        self.assertLess(time.monotonic() - before, 30)
        self.assertEqual(failed.Index, TAG['UnpackMaxBytes'])
        # A window of 2 GiB.
        self.refused(bytes.fromhex('28b52ffd00a8') + bytes(100), 'UnpackDecode', 'EBADMSG')

    def test_pax_floods(self):
        body = b''.join(record(b'SCHILY.xattr.user.x', b'%d' % i) for i in range(20_000))
        flood = entry(b'x', body, kind=b'x')
        self.assertLess(len(body), 1 << 20)
        before = time.monotonic()
        _, layer = self.unpack(archive(*[flood + entry(b'f')] * 20))
        self.assertLess(time.monotonic() - before, 20)
        self.assertEqual(os.getxattr(os.path.join(layer, 'f'), 'user.x'), b'19999')

    def test_capabilities_of_another_root(self):
        value = bytes.fromhex('0100000300200000000000000000000000000000') + (1234).to_bytes(4, 'little')
        _, layer = self.unpack(archive(pax([(b'SCHILY.xattr.security.capability', value)]), entry(b'f')))
        found = xattrs(os.path.join(layer, 'f'))
        self.assertEqual(found, {'security.capability': value} if ROOT else {})


class Ends(Case):
    """In the middle of it."""

    def begin(self):
        path = self.file(b'')
        read, write = os.pipe()
        self.addCleanup(os.close, write)
        data = archive(*(entry(b'd/f%d' % i, b'x' * 1000) for i in range(1000)))
        ident, target = self.request(path, feed=read, length=len(data) + 100_000)
        os.close(read)
        with open(path, 'wb') as file:
            file.write(data)
        os.write(write, len(data).to_bytes(8, sys.byteorder))
        return ident, target

    @unittest.skipIf(SANITIZED, 'sanitizers make calls of their own: no filter')
    def test_what_the_workers_may(self):
        self.begin()
        (writer, writer_status), (decoder, decoder_status) = self.workers()
        self.assertEqual(decoder_status['CapEff'], '0' * 16)
        self.assertEqual(decoder_status['CapPrm'], '0' * 16)
        held = int(writer_status['CapEff'], 16)
        for capability in (2 + 3, 6, 7, 12, 13, 16, 17, 18, 19, 22, 25):  # KILL, SETGID … SYS_TIME
            self.assertEqual(held >> capability & 1, 0, capability)
        for pid in (writer, decoder):
            for kind in ('mnt', 'net', 'ipc', 'pid'):
                self.assertNotEqual(os.readlink(f'/proc/{pid}/ns/{kind}'),
                                    os.readlink(f'/proc/{self.supervisor.welcome.SupervisorPid}/ns/{kind}'))
            with open(f'/proc/{pid}/mountinfo') as file:
                self.assertEqual(len(file.read().splitlines()), 1)
            until = time.monotonic() + 5
            while os.listdir(f'/proc/{pid}/root/') != ['d'] and time.monotonic() < until:
                time.sleep(0.01)
            self.assertEqual(os.listdir(f'/proc/{pid}/root/'), ['d'])
        fds = [os.readlink(f'/proc/{decoder}/fd/{fd}') for fd in os.listdir(f'/proc/{decoder}/fd')]
        self.assertEqual(len([fd for fd in fds if fd != '/dev/null']), 2, fds)

    def test_killed_by_request(self):
        ident, target = self.begin()
        self.workers() if not SANITIZED else time.sleep(0.5)
        self.assertEqual(self.supervisor.call('Kill', [('Target', ident)]).type, 'Done')
        failed = self.supervisor.wait(ident)
        self.assertEqual((failed.step, errno.errorcode[failed.Errno]), ('Unpack', 'ECANCELED'), failed)
        self.nothing_unfinished()
        self.assertEqual(os.listdir(self.path()), [])

    @unittest.skipIf(SANITIZED, 'the workers are known by their filter')
    def test_each_process_killed(self):
        for which in (0, 1):
            ident, target = self.begin()
            os.kill(self.workers()[which][0], signal.SIGKILL)
            failed = self.supervisor.wait(ident)
            self.assertEqual((failed.step, errno.errorcode[failed.Errno]), ('Unpack', 'ECHILD'), failed)
            self.nothing_unfinished()
            self.assertEqual(os.listdir(self.path()), [])

    def test_the_program_goes(self):
        self.begin()
        time.sleep(0.3)
        pids = host_children(self.supervisor.process.pid)
        self.supervisor.hang_up()
        await_nothing_left(self.supervisor, pids)
        self.assertEqual(os.listdir(self.path()), [])

    def test_the_supervisor_is_killed(self):
        self.begin()
        time.sleep(0.3)
        pids = host_children(self.supervisor.process.pid)
        os.kill(self.supervisor.welcome.SupervisorPid, signal.SIGKILL)
        self.supervisor.process.wait()
        self.supervisor.socket.close()
        await_nothing_left(self.supervisor, pids)
        self.assertEqual(os.listdir(self.path()), [])
        scratch = os.path.join(self.store, 'scratch')
        self.assertEqual(os.listdir(scratch) if os.path.isdir(scratch) else [], [])

    def test_a_target_that_is_there(self):
        os.mkdir(self.path('taken'))
        self.assertEqual(self.supervisor.wait(self.request(END, target='taken')[0]).Errno, errno.EEXIST)
        self.nothing_unfinished()

    def test_requests_that_are_none(self):
        file = os.open('/dev/null', os.O_RDONLY)
        self.addCleanup(os.close, file)
        whole = [('UnpackTarget', 'layers/x'), ('UnpackOffset', 0), ('UnpackLength', 0),
                 ('UnpackMaxBytes', 1), ('UnpackMaxEntries', 1)]
        for at in range(len(whole)):
            self.assertEqual(self.supervisor.call('Unpack', whole[:at] + whole[at + 1:], [file]).step, 'Parse')
            self.assertEqual(self.supervisor.call('Unpack', whole + [whole[at]], [file]).step, 'Parse')
        for target in ('layers', '/etc/x', '../x', 'layers/../../x', ''):
            fields = [('UnpackTarget', target), *whole[1:]]
            self.assertEqual(self.supervisor.call('Unpack', fields, [file]).step, 'Parse')
        fields = [whole[0], ('UnpackOffset', 2**63 - 1), ('UnpackLength', 1), *whole[3:]]
        self.assertEqual(self.supervisor.call('Unpack', fields, [file]).step, 'Parse')
        for fds in ([], [file] * 3):
            self.assertEqual(self.supervisor.call('Unpack', whole, fds).Errno, errno.EBADF)
        self.assertEqual(self.supervisor.call('Unpack', whole, [file]).Errno, errno.EBADF)

    def test_several_at_once(self):
        blob = gzip.compress(archive(*(entry(b'd%d/f%d' % (i % 7, i), os.urandom(3000)) for i in range(500))))
        layers = [self.request(blob) for _ in range(6)]
        answers = [self.supervisor.wait(ident, timeout=60) for ident, _ in layers]
        self.assertEqual({answer.type for answer in answers}, {'Done'})
        self.assertEqual(len({answer.UnpackDiffId for answer in answers}), 1)
        trees = [tree(self.path(target), times=False) for _, target in layers]
        self.assertTrue(all(one == trees[0] for one in trees))


if __name__ == '__main__':
    unittest.main(verbosity=2 if '-v' in sys.argv else 1)

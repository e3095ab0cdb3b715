#!/usr/bin/env python3
"""What a container has written, over the channel, as root or as an ordinary user (rootless).

    CAISSON_SUPERVISOR=build/…/caisson-supervisor diff_test.py [unittest arguments]

Upper folders are made by hand here, also such as no overlay writes; those that overlay writes are in
test/integration/container.{changes,commit}.test.ts.
"""

import errno
import io
import os
import stat
import struct
import sys
import tarfile
import threading
import time
import unittest

import unpack_test
from archives import END, archive, entry, folder, tree
from unpack_test import OPAQUE, ROOT, sha256

CHANGES, LAYER, WHOLE = 1, 2, 3
OVERLAY = OPAQUE[:-len('opaque')]
UPPER = 'containers/it/upper'
NOBODY = 65534


class Diff(unpack_test.Case):
    def setUp(self):
        super().setUp()
        os.makedirs(self.upper())
        lower = archive(
            folder(b'./'), folder(b'd', mode=0o750, mtime=5), entry(b'd/a', b'a'), entry(b'd/b', b'b'),
            folder(b'd/e'), entry(b'd/e/f', b'f'), folder(b'old'), entry(b'old/one', b'1'),
            entry(b'old/two', b'2'), entry(b'old/three', b'3'), entry(b'file', b'file'))
        self.unpack(lower, target='low')
        self.unpack(archive(entry(b'd/.wh.b'), entry(b'upper', b'')), target='high')
        self.layers = ['layers/low', 'layers/high']
        settled = self.supervisor.call('Settle', [('UnpackTarget', 'layers/high'), ('Layer', 'layers/low')])
        self.assertEqual(settled.type, 'Done', settled)

    def upper(self, *names):
        return os.path.join(self.store, UPPER, *names)

    def write(self, path, text=''):
        with open(self.upper(path), 'w') as file:
            file.write(text)

    def send(self, form, fields=(), upper=UPPER, layers=None):
        """Its id, and the end to read from."""
        reader, writer = os.pipe()
        below = [('Layer', layer) for layer in (self.layers if layers is None else layers)]
        ident = self.supervisor.send('Diff', [('DiffForm', form), ('DiffUpper', upper), *below, *fields], [writer])
        os.close(writer)
        return ident, reader

    def diff(self, form, fields=(), **options):
        """What it says, and what it has written."""
        ident, reader = self.send(form, fields, **options)
        return self.outcome(ident, reader)

    def done(self, form, fields=(), **options):
        done, written = self.diff(form, fields, **options)
        self.assertEqual(done.type, 'Done', done)
        return done, written

    def changes(self, fields=(), **options):
        done, written = self.done(CHANGES, fields, **options)
        lines = written.decode().split('\0')[:-1]
        self.assertEqual(done.ExportEntries, len(lines))
        return sorted(lines)

    def names(self, form=LAYER, fields=(), **options):
        done, data = self.done(form, fields, **options)
        self.assertEqual((sha256(data), len(data)), (done.ImportResult, done.ImportTarBytes))
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            names = tar.getnames()
        if form == LAYER:
            self.assertEqual(done.ExportEntries, len(names) - 1)
        return names

    def test_nothing(self):
        for upper in (UPPER, 'containers/none/upper'):
            self.assertEqual(self.changes(upper=upper), [])
            self.assertEqual(self.names(upper=upper), ['.'])
            self.assertEqual(self.names(WHOLE, upper=upper),
                             ['.', 'd', 'd/a', 'd/e', 'd/e/f', 'file', 'old', 'old/one', 'old/three', 'old/two', 'upper'])

    def fill(self):
        """One of everything that overlay writes."""
        os.mkdir(self.upper('d'), 0o750)
        self.write('d/new', 'new')
        os.link(self.upper('d/new'), self.upper('d/again'))
        os.mkdir(self.upper('old'))
        os.setxattr(self.upper('old'), OPAQUE, b'y')
        self.write('old/one', 'other')
        os.mkdir(self.upper('!first'))
        os.symlink('a' * 150, self.upper('!first/link'))
        os.mknod(self.upper('file'), stat.S_IFCHR, 0)
        os.mknod(self.upper('d/a'), stat.S_IFCHR, 0)
        os.mknod(self.upper('d/b'), stat.S_IFCHR, 0)  # which no layer shows any more
        os.utime(self.upper('d'), ns=(0, 5 * 10**9))

    def test_everything(self):
        self.fill()
        self.assertEqual(self.changes(), [
            'A!first', 'A!first/link', 'Ad/again', 'Ad/new', 'Dd/a', 'Dfile', 'Dold/three', 'Dold/two',
            'M', 'Md', 'Mold', 'Mold/one'])
        self.assertEqual(self.names(), [
            '.', '!first', '!first/link', 'd', 'd/.wh.a', 'd/again', 'd/new', '.wh.file', 'old', 'old/.wh..wh..opq',
            'old/one'])
        self.assertEqual(self.names(WHOLE), [
            '.', '!first', '!first/link', 'd', 'd/again', 'd/e', 'd/e/f', 'd/new', 'old', 'old/one', 'upper'])

    def test_a_layer_of_it_gives_the_same_archive_again(self):
        self.fill()
        first, data = self.done(LAYER)
        unpacked, path = self.unpack(data, target='made')
        self.assertEqual(unpacked.UnpackDiffId, first.ImportResult)
        settle = [('UnpackTarget', 'layers/made'), *(('Layer', layer) for layer in self.layers)]
        self.assertEqual(self.supervisor.call('Settle', settle).type, 'Done')
        again = os.path.join(self.folder, 'again')
        with open(again, 'wb') as file:
            answer = self.supervisor.call('Export', [('ExportLayer', 'layers/made')], [file.fileno()])
        with open(again, 'rb') as file:
            self.assertEqual(file.read(), data, answer)
        self.assertEqual(answer.ImportResult, first.ImportResult)
        # All that is to be seen is the same with the layer as with the folder.
        _, whole = self.done(WHOLE)
        _, other = self.done(WHOLE, upper='containers/none', layers=[*self.layers, 'layers/made'])
        self.assertEqual(other, whole)
        self.assertEqual(self.changes(upper='containers/none', layers=[*self.layers, 'layers/made']), [])
        self.assertEqual(os.getxattr(os.path.join(path, 'old'), OPAQUE), b'y')

    def test_whiteouts_that_are_files(self):
        os.mkdir(self.upper('d'), 0o750)
        os.setxattr(self.upper('d'), OPAQUE, b'x')
        self.write('d/a')
        os.setxattr(self.upper('d/a'), OVERLAY + 'whiteout', b'y')
        self.write('d/empty')
        self.write('upper')  # no such file where its folder does not say so
        os.setxattr(self.upper('upper'), OVERLAY + 'whiteout', b'y')
        self.assertEqual(self.names(), ['.', 'd', 'd/.wh.a', 'd/empty', 'upper'])
        self.assertNotIn('d/a', self.names(WHOLE))

    def test_what_refers_to_elsewhere_is_refused(self):
        os.mkdir(self.upper('d'))
        os.setxattr(self.upper('d'), OVERLAY + 'redirect', b'/etc')
        for form in (CHANGES, LAYER, WHOLE):
            failed, _ = self.diff(form)
            self.assertEqual((failed.step, failed.Errno, failed.Detail), ('Export', errno.EUCLEAN, 'd'))
        os.rmdir(self.upper('d'))
        self.write('file')
        os.setxattr(self.upper('file'), OVERLAY + 'metacopy', b'')
        failed, _ = self.diff(LAYER)
        self.assertEqual((failed.step, failed.Errno, failed.Detail), ('Export', errno.EUCLEAN, 'file'))

    def test_xattrs(self):
        for name in ('origin', 'impure', 'nlink', 'uuid', 'opaque.not'):
            os.setxattr(self.upper(), OVERLAY + name, b'1')
        self.write('x')
        os.setxattr(self.upper('x'), 'user.binary', b'\0=%\xff')
        os.setxattr(self.upper('x'), 'user.caisson.omitted', b'y')
        os.setxattr(self.upper('x'), 'user.overlay.opaque', b'y')
        _, data = self.done(LAYER)
        self.assertNotIn(b'overlay', data)
        self.assertNotIn(b'caisson', data)
        self.assertIn(b'SCHILY.xattr.user.binary=\0=%\xff\n', data)

    def test_a_name_that_would_mean_something_else(self):
        self.write('.wh.d')
        self.assertEqual(self.changes(), ['A.wh.d', 'M'])
        self.assertIn('.wh.d', self.names(WHOLE))
        failed, _ = self.diff(LAYER)
        self.assertEqual((failed.step, failed.Errno, failed.Detail), ('Export', errno.EINVAL, '.wh.d'))

    def test_mount_points(self):
        os.makedirs(self.upper('in/a/b'))
        self.write('in/a/file')
        os.makedirs(self.upper('d/e/mount'))
        os.chmod(self.upper('d'), 0o750)
        os.makedirs(self.upper('full/it'))
        self.write('full/it/x')
        points = [('DiffMountPoint', path) for path in ('/in/a/b', '/in/a/file', '/d/e/mount', '/full/it', '/none', '/')]
        self.assertEqual(self.names(fields=points), ['.', 'full', 'full/it', 'full/it/x'])
        self.assertEqual(self.changes(points), ['Afull', 'Afull/it', 'Afull/it/x', 'M'])
        self.assertIn('in/a/b', self.names(WHOLE, points))
        os.chmod(self.upper('in/a'), 0o700)
        self.assertEqual(self.names(fields=points), ['.', 'full', 'full/it', 'full/it/x', 'in', 'in/a'])

    def test_mount_points_behind_links(self):
        os.symlink('/run/../var', self.upper('lib'))
        os.symlink('lib', self.upper('way'))
        os.symlink('loop', self.upper('loop'))
        os.makedirs(self.upper('var/point'))
        points = [('DiffMountPoint', path) for path in ('/way/point', '/loop/x', '/../../lib/../etc')]
        self.assertEqual(self.names(fields=points), ['.', 'lib', 'loop', 'way'])

    def test_links_are_not_followed(self):
        os.symlink(self.outside, self.upper('d'))
        os.symlink(os.path.join(self.outside, 'canary'), self.upper('file'))
        for form in (LAYER, WHOLE):
            _, data = self.done(form)
            self.assertNotIn(b'sings', data)
        os.rename(self.upper(), self.upper() + '.away')
        os.symlink(self.outside, self.upper())
        failed, _ = self.diff(LAYER)
        self.assertEqual((failed.step, failed.Errno), ('Export', errno.ELOOP))

    def test_a_folder_that_is_changed_meanwhile(self):
        """Folders and links to outside change places: what is said is of the one or of the other."""
        os.makedirs(self.upper('x', 'canary-folder'))
        self.write('x/canary')
        os.symlink(self.outside, self.upper('link'))
        stop = threading.Event()

        def swap():
            while not stop.is_set():
                for one, other in (('x', 'y'), ('link', 'x'), ('x', 'link'), ('y', 'x')):
                    os.rename(self.upper(one), self.upper(other))

        thread = threading.Thread(target=swap)
        thread.start()
        try:
            done = 0
            for _ in range(60):
                for form in (LAYER, WHOLE):
                    answer, data = self.diff(form)
                    self.assertNotIn(b'sings', data)
                    done += answer.type == 'Done'
                    self.assertTrue(answer.type == 'Done' or answer.Errno == errno.EAGAIN, answer)
            self.assertGreater(done, 0)
        finally:
            stop.set()
            thread.join()

    @unittest.skipUnless(ROOT, 'who else has owners')
    def test_owners_as_a_user_namespace_has_them(self):
        ids = [('UidMap', '0 100000 10\n10 5 1\n'), ('GidMap', '0 200000 20\n')]
        self.write('mine')
        os.chown(self.upper('mine'), 100003, 200004)
        self.write('others')
        os.chown(self.upper('others'), 5, 7)
        capability = struct.pack('<IIIII', 0x03000001, 1 << 10, 0, 0, 0)
        for name, root in (('cap', 100000), ('cap-of-three', 100003), ('cap-of-nobody', 1)):
            self.write(name)
            os.setxattr(self.upper(name), 'security.capability', capability + struct.pack('<I', root))
        acl = [(1, 7, -1), (2, 5, 100002), (2, 5, 77), (4, 5, -1), (8, 4, 200003), (16, 7, -1), (32, 5, -1)]
        packed = struct.pack('<I', 2) + b''.join(struct.pack('<HHI', tag, perm, who & 0xffffffff) for tag, perm, who in acl)
        os.setxattr(self.upper('mine'), 'system.posix_acl_access', packed)
        _, data = self.done(LAYER, ids)
        with tarfile.open(fileobj=io.BytesIO(data), encoding='utf-8', errors='surrogateescape') as tar:
            said = {member.name: member for member in tar}
        self.assertEqual((said['mine'].uid, said['mine'].gid), (3, 4))
        self.assertEqual((said['others'].uid, said['others'].gid), (10, NOBODY))

        def xattr(name, of):
            return said[name].pax_headers.get(f'SCHILY.xattr.{of}', '').encode('utf-8', 'surrogateescape')

        self.assertEqual(xattr('cap', 'security.capability'), struct.pack('<I', 0x02000001) + capability[4:])
        self.assertEqual(xattr('cap-of-three', 'security.capability'), capability + struct.pack('<I', 3))
        self.assertEqual(xattr('cap-of-nobody', 'security.capability'), b'')
        whom = [struct.unpack_from('<HHI', xattr('mine', 'system.posix_acl_access'), at)[2] for at in range(4, 60, 8)]
        self.assertEqual([whom[i] for i in (1, 2, 4)], [2, NOBODY, 3])

    def test_of_a_folder_of_the_machine(self):
        os.mkdir(os.path.join(self.outside, 'sub'))
        self.before = tree(self.outside)
        os.mkdir(self.upper('sub'))
        os.utime(self.upper('sub'), ns=(0, 1))
        os.mknod(self.upper('canary'), stat.S_IFCHR, 0)
        lower = [('ImportSource', self.outside)]
        self.assertEqual(self.changes(lower, layers=[]), ['Dcanary', 'M'])
        os.chmod(self.upper('sub'), 0o711)
        self.assertEqual(self.changes(lower, layers=[]), ['Dcanary', 'M', 'Msub'])
        failed, _ = self.diff(CHANGES, [('ImportSource', '/none/such')], layers=[])
        self.assertEqual((failed.step, failed.Errno), ('ImportSource', errno.ENOENT))

    def test_one_layer_alone(self):
        self.write('x')
        self.assertEqual(self.changes(layers=['layers/low']), ['Ax', 'M'])
        self.assertIn('d/b', self.names(WHOLE, layers=['layers/low']))

    def test_nobody_reads_and_killed(self):
        self.write('x', 'x' * (1 << 20))
        ident, reader = self.send(LAYER)
        os.close(reader)
        failed = self.supervisor.wait(ident)
        self.assertEqual((failed.step, failed.Errno), ('Export', errno.EPIPE), failed)
        ident, reader = self.send(WHOLE)
        self.addCleanup(os.close, reader)
        time.sleep(0.2)
        self.assertEqual(self.supervisor.call('Kill', [('Target', ident)]).type, 'Done')
        self.assertEqual(self.supervisor.wait(ident).Errno, errno.ECANCELED)
        self.send(WHOLE)  # and the program goes while nobody reads

    def test_a_disk_that_is_full(self):
        self.write('x', 'x' * (1 << 20))
        fields = [('DiffForm', LAYER), ('DiffUpper', UPPER), ('Layer', 'layers/low')]
        with open('/dev/full', 'wb') as full:
            failed = self.supervisor.call('Diff', fields, [full.fileno()])
        self.assertEqual((failed.step, failed.Errno), ('Export', errno.ENOSPC))

    def test_requests_that_are_none(self):
        null = os.open('/dev/null', os.O_WRONLY)
        self.addCleanup(os.close, null)
        good = {'DiffForm': LAYER, 'DiffUpper': UPPER, 'Layer': 'layers/low'}
        bad = [{'DiffForm': 0}, {'DiffForm': 4}, {'DiffUpper': '/etc'}, {'DiffUpper': 'a/../b'}, {'Layer': '../x'},
               {'Layer': None}, {'DiffForm': None}, {'DiffUpper': None}, {'ImportSource': '/etc'}, {'UidMap': '0 1 1\n'},
               {'UidMap': '0 1\n', 'GidMap': '0 1 1\n'}, {'DiffMountPoint': 'x'}, {'UnpackOffset': 1}]
        for change in bad:
            fields = [(tag, value) for tag, value in {**good, **change}.items() if value is not None]
            self.assertEqual(self.supervisor.call('Diff', fields, [null]).step, 'Parse', change)
        self.assertEqual(self.supervisor.call('Diff', [*good.items(), ('DiffForm', LAYER)], [null]).step, 'Parse')
        for fds in ([], [null] * 2):
            self.assertEqual(self.supervisor.call('Diff', list(good.items()), fds).Errno, errno.EBADF)


if __name__ == '__main__':
    unittest.main(verbosity=2 if '-v' in sys.argv else 1)

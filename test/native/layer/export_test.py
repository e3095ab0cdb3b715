#!/usr/bin/env python3
"""The archive of a layer that came from a folder, over the channel, as root or as an ordinary user (rootless).

    CAISSON_SUPERVISOR=build/…/caisson-supervisor export_test.py [unittest arguments]
"""

import errno
import io
import os
import sys
import tarfile
import time
import unittest

import unpack_test
from unpack_test import sha256


class Exported(unpack_test.Case):
    def export(self, layer):
        """What it says, and what it has written."""
        reader, writer = os.pipe()
        ident = self.supervisor.send('Export', [('ExportLayer', f'layers/{layer}')], [writer])
        os.close(writer)
        return self.outcome(ident, reader)

    def imported(self):
        source = os.path.join(self.folder, 'source')
        os.makedirs(os.path.join(source, 'd', 'e'))
        with open(os.path.join(source, 'd', 'file'), 'wb') as file:
            file.write(os.urandom(300_000))
            file.truncate(5_000_000)
        os.setxattr(os.path.join(source, 'd', 'file'), 'user.x', b'\0=%\xff')
        os.link(os.path.join(source, 'd', 'file'), os.path.join(source, 'a'))
        os.symlink('x' * 200, os.path.join(source, 'd', 'link'))
        os.mkfifo(os.path.join(source, 'd', 'n' * 150))
        os.utime(os.path.join(source, 'd', 'e'), ns=(0, -1_500_000_000))
        fields = [('ImportSource', source), ('ImportTarget', 'layers/it')]
        done = self.supervisor.call('Import', fields, timeout=60)
        self.assertEqual(done.type, 'Done', done)
        return done

    def test_what_was_imported(self):
        imported = self.imported()
        for _ in range(2):
            done, archive = self.export('it')
            self.assertEqual((done.type, done.ImportResult), ('Done', imported.ImportResult))
            self.assertEqual(sha256(archive), imported.ImportResult)
            self.assertEqual(len(archive), done.ImportTarBytes)
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            self.assertEqual(tar.getnames()[:3], ['.', 'a', 'd'])

    def test_nobody_reads(self):
        self.imported()
        reader, writer = os.pipe()
        ident = self.supervisor.send('Export', [('ExportLayer', 'layers/it')], [writer])
        os.close(writer)
        os.close(reader)
        failed = self.supervisor.wait(ident)
        self.assertEqual((failed.step, failed.Errno), ('Export', errno.EPIPE), failed)

    def test_killed_by_request(self):
        self.imported()
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        ident = self.supervisor.send('Export', [('ExportLayer', 'layers/it')], [writer])
        os.close(writer)
        time.sleep(0.3)
        self.assertEqual(self.supervisor.call('Kill', [('Target', ident)]).type, 'Done')
        failed = self.supervisor.wait(ident)
        self.assertEqual((failed.step, failed.Errno), ('Export', errno.ECANCELED), failed)
        self.assertTrue(os.path.isdir(self.path('it')))

    @unittest.skipIf(unpack_test.SANITIZED, 'sanitizers make calls of their own: no filter')
    def test_what_the_worker_may(self):
        self.imported()
        reader, writer = os.pipe()
        ident = self.supervisor.send('Export', [('ExportLayer', 'layers/it')], [writer])
        os.close(writer)
        # Nobody reads yet, so it waits.
        [(pid, status)] = self.workers(1)
        for capability in (5, 6, 7, 12, 13, 16, 17, 18, 19, 22, 25):  # KILL, SETGID … SYS_TIME
            self.assertEqual(int(status['CapEff'], 16) >> capability & 1, 0, capability)
        self.assertEqual(os.listdir(f'/proc/{pid}/root/'), [])
        done, archive = self.outcome(ident, reader)
        self.assertEqual((done.type, sha256(archive)), ('Done', done.ImportResult))

    def test_the_program_goes_while_nobody_reads(self):
        self.imported()
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.supervisor.send('Export', [('ExportLayer', 'layers/it')], [writer])
        os.close(writer)
        time.sleep(0.3)

    def test_a_layer_that_is_none(self):
        failed, archive = self.export('none')
        self.assertEqual((failed.step, failed.Errno, failed.Detail), ('Export', errno.ENOENT, 'layers/none'))
        self.assertEqual(archive, b'')
        os.symlink(self.outside, self.path('link'))
        failed, archive = self.export('link')
        self.assertEqual((failed.step, failed.Errno, archive), ('Export', errno.ELOOP, b''))

    def test_links_in_a_layer_are_not_followed(self):
        os.makedirs(self.path('it'))
        os.symlink(self.outside, self.path('it', 'folder'))
        os.symlink(os.path.join(self.outside, 'canary'), self.path('it', 'file'))
        done, archive = self.export('it')
        self.assertEqual(done.type, 'Done', done)
        self.assertNotIn(b'sings', archive)

    def test_requests_that_are_none(self):
        file = os.open('/dev/null', os.O_WRONLY)
        self.addCleanup(os.close, file)
        for path in ('layers', '/etc/x', '../x', 'layers/../../x', ''):
            answer = self.supervisor.call('Export', [('ExportLayer', path)], [file])
            self.assertEqual(answer.step, 'Parse')
        whole = [('ExportLayer', 'layers/x')]
        for fields in ([], whole * 2, [*whole, ('UnpackOffset', 1)]):
            self.assertEqual(self.supervisor.call('Export', fields, [file]).step, 'Parse')
        for fds in ([], [file] * 2):
            self.assertEqual(self.supervisor.call('Export', whole, fds).Errno, errno.EBADF)


if __name__ == '__main__':
    unittest.main(verbosity=2 if '-v' in sys.argv else 1)

#!/usr/bin/env python3
"""Writes corpus/, the seeds of layer_fuzz.cc: one small input for each thing that an archive can say."""

import gzip
import os
import shutil
import subprocess
import tempfile

from archives import (END, archive, entry, folder, hard_link, header, made_by, pax, symlink)

HERE = os.path.dirname(os.path.abspath(__file__))


def old_sparse():
    block = bytearray(header(b's', kind=b'S', size=512, magic=b'ustar  \0'))
    block[345:500] = bytes(155)
    block[386:410] = b'%011o\0%011o\0' % (5000, 512)
    block[482:483] = b'\1'
    block[483:495] = b'%011o\0' % 10000
    block[148:156] = b' ' * 8
    block[148:156] = b'%06o\0 ' % sum(block)
    extension = bytearray(512)
    extension[0:24] = b'%011o\0%011o\0' % (10000, 0)
    return bytes(block) + bytes(extension) + bytes(512)


def seeds():
    yield 'empty', b'\0\1'
    yield 'end', b'\0\1' + END
    yield 'types', b'\0\x10' + archive(
        entry(b'f', b'content'), folder(b'd'), symlink(b'l', b'f'), hard_link(b'h', b'f'),
        entry(b'c', kind=b'3', major=1, minor=3), entry(b'b', kind=b'4'), entry(b'p', kind=b'6'))
    yield 'prefix', b'\0\x10' + archive(entry(b'name', prefix=b'some/where'))
    yield 'pax', b'\0\x10' + archive(
        pax([(b'path', b'x' * 120), (b'linkpath', b'y'), (b'uid', b'70000'), (b'gid', b'1'),
             (b'mtime', b'-1.25'), (b'SCHILY.xattr.user.a%3Db', b'\0\xff\n'), (b'size', b'3')]),
        header(b'f') + b'abc'.ljust(512, b'\0'))
    yield 'global', b'\0\x10' + archive(pax([(b'mtime', b'5')], kind=b'g'), entry(b'f'))
    yield 'gnu', b'\0\x10' + archive(
        entry(b'././@LongLink', b'long/name\0', kind=b'L'), entry(b'././@LongLink', b'link\0', kind=b'K'),
        symlink(b'x', b'y', magic=b'ustar  \0'))
    yield 'base256', b'\0\x10' + archive(header(b'f', raw_size=b'\x80' + b'\0' * 10 + b'\3') + b'abc' + bytes(509))
    yield 'sparse-old', b'\0\x10' + old_sparse() + END
    size = (b'GNU.sparse.size', b'100')
    yield 'sparse-00', b'\0\x10' + archive(
        pax([size, (b'GNU.sparse.numblocks', b'1'), (b'GNU.sparse.offset', b'10'),
             (b'GNU.sparse.numbytes', b'4')]), entry(b's', b'data'))
    yield 'sparse-01', b'\0\x10' + archive(
        pax([size, (b'GNU.sparse.map', b'10,2,50,2'), (b'GNU.sparse.name', b'real')]), entry(b's', b'data'))
    yield 'sparse-10', b'\0\x10' + archive(
        pax([(b'GNU.sparse.major', b'1'), (b'GNU.sparse.minor', b'0'), (b'GNU.sparse.realsize', b'100'),
             (b'GNU.sparse.name', b'real')]), entry(b's', b'1\n10\n4\n'.ljust(512, b'\0') + b'data'))
    yield 'whiteouts', b'\0\x10' + archive(entry(b'a/.wh.b'), entry(b'a/.wh..wh..opq'), entry(b'/../x//./y/'))
    plain = archive(entry(b'f', b'content'))
    packed = gzip.compress(plain, 9, mtime=0)
    yield 'gzip', b'\1\x05' + packed
    yield 'gzip-members', b'\1\x05' + packed + packed + bytes(20)
    for level in ('-1', '-19'):
        zstd = subprocess.run(['zstd', '-qc', level], input=plain, stdout=subprocess.PIPE, check=True).stdout
        yield f'zstd{level}', b'\1\x05' + zstd + b'\x50\x2a\x4d\x18\2\0\0\0xx' + zstd
    yield 'bzip2', b'\1\x05BZh91AY'
    yield 'xz', b'\1\x05\xfd7zXZ\0'
    top = tempfile.mkdtemp()
    try:
        with open(os.path.join(top, 'x' * 110), 'w') as file:
            file.seek(1 << 20)
            file.write('end')
        for program, options in (('gnu', ['--format=gnu', '--sparse']), ('gnu', ['--format=posix', '--sparse']),
                                 ('gnu', ['--format=v7', '--exclude=x*']), ('bsd', ['--format', 'pax'])):
            out = os.path.join(top, 'out')
            made_by(program, top, out, *options, f'--exclude=out')
            with open(out, 'rb') as file:
                yield f'{program}-{"-".join(o.split("=")[-1].strip("-*") for o in options)}', b'\0\x10' + file.read()
            os.unlink(out)
    finally:
        shutil.rmtree(top)


if __name__ == '__main__':
    folder_name = os.path.join(HERE, 'corpus')
    os.makedirs(folder_name, exist_ok=True)
    for name, data in seeds():
        # Zeros at the end of an archive teach nothing.
        with open(os.path.join(folder_name, name), 'wb') as file:
            file.write(data if len(data) < 6000 else data[:6000])

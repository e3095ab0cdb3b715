#!/usr/bin/env python3
"""Writes the canonical tar stream of a folder, as addon/supervisor/canonical_tar.h says it.

A second implementation, written from the description only: the digests of both are compared.

    canonical_tar.py FOLDER > stream.tar
"""

import os
import stat
import sys

BLOCK = 512
KEPT = (b"user.", b"trusted.")
KEPT_EXACT = (b"security.capability", b"system.posix_acl_access", b"system.posix_acl_default")
DROPPED = (b"user.overlay.", b"trusted.overlay.")


def octal(value, width):
    return b"%0*o\0" % (width - 1, value)


def header(name, link, mode, uid, gid, size, mtime, kind, device=(0, 0)):
    block = bytearray(BLOCK)
    fields = [
        (0, name[:100]), (100, octal(mode, 8)), (108, octal(uid, 8)), (116, octal(gid, 8)),
        (124, octal(size, 12)), (136, octal(mtime, 12)), (148, b" " * 8), (156, kind),
        (157, link[:100]), (257, b"ustar\0"), (263, b"00"),
        (329, octal(device[0], 8)), (337, octal(device[1], 8)),
    ]
    for at, value in fields:
        block[at:at + len(value)] = value
    block[148:156] = octal(sum(block), 7) + b" "
    return bytes(block)


def record(keyword, value):
    body = b" " + keyword + b"=" + value + b"\n"
    length = len(body) + 1
    while len(str(length)) + len(body) != length:
        length = len(str(length)) + len(body)
    return str(length).encode() + body


def time_text(nanoseconds):
    sign = b"-" if nanoseconds < 0 else b""
    seconds, fraction = divmod(abs(nanoseconds), 10**9)
    text = b"%d" % seconds
    if fraction:
        text += (b".%09d" % fraction).rstrip(b"0")
    return sign + text


def xattrs(path):
    found = {}
    for name in os.listxattr(path, follow_symlinks=False):
        raw = os.fsencode(name)
        if raw.startswith(DROPPED) or not (raw.startswith(KEPT) or raw in KEPT_EXACT):
            continue
        keyword = b"SCHILY.xattr." + raw.replace(b"%", b"%25").replace(b"=", b"%3D")
        found[keyword] = os.getxattr(path, name, follow_symlinks=False)
    return found


def entry(out, path, name, seen):
    status = os.lstat(path)
    mode = status.st_mode
    link = b""
    size = 0
    records = {}
    again = seen.get((status.st_dev, status.st_ino)) if status.st_nlink > 1 else None
    if stat.S_ISSOCK(mode) or (stat.S_ISCHR(mode) and status.st_rdev == 0):
        return
    if stat.S_ISDIR(mode):
        kind, name, again = b"5", name + b"/", None
    elif again is not None:
        kind, link = b"1", again
    elif stat.S_ISLNK(mode):
        kind, link = b"2", os.readlink(path)
    elif stat.S_ISCHR(mode):
        kind = b"3"
    elif stat.S_ISBLK(mode):
        kind = b"4"
    elif stat.S_ISFIFO(mode):
        kind = b"6"
    else:
        kind, size = b"0", status.st_size
    if not stat.S_ISDIR(mode):
        seen.setdefault((status.st_dev, status.st_ino), name)
    if again is None:
        records.update(xattrs(path))

    seconds, fraction = divmod(status.st_mtime_ns, 10**9)
    fits = 0 <= seconds <= 0o77777777777
    if fraction or not fits:
        records[b"mtime"] = time_text(status.st_mtime_ns)
    if len(name) > 100:
        records[b"path"] = name
    if len(link) > 100:
        records[b"linkpath"] = link
    if status.st_uid > 0o7777777:
        records[b"uid"] = b"%d" % status.st_uid
    if status.st_gid > 0o7777777:
        records[b"gid"] = b"%d" % status.st_gid
    if size > 0o77777777777:
        records[b"size"] = b"%d" % size
    if records:
        body = b"".join(record(k, records[k]) for k in sorted(records))
        out(header(b"././@PaxHeader", b"", 0o644, 0, 0, len(body), 0, b"x"))
        out(body + bytes(-len(body) % BLOCK))

    device = (0, 0)
    if kind in b"34":
        device = (os.major(status.st_rdev), os.minor(status.st_rdev))
    out(header(
        name, link, mode & 0o7777,
        status.st_uid if status.st_uid <= 0o7777777 else 0,
        status.st_gid if status.st_gid <= 0o7777777 else 0,
        size if size <= 0o77777777777 else 0, seconds if fits else 0, kind, device))
    if kind == b"0":
        with open(path, "rb") as file:
            while data := file.read(1 << 20):
                out(data)
        out(bytes(-size % BLOCK))
    if kind == b"5":
        folder = b"" if name == b"./" else name
        for child in sorted(os.listdir(path)):
            entry(out, os.path.join(path, child), folder + child, seen)


def main():
    sys.setrecursionlimit(10000)
    out = sys.stdout.buffer.write
    entry(out, os.fsencode(sys.argv[1]), b".", {})
    out(bytes(2 * BLOCK))


main()

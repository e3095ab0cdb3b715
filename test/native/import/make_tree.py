#!/usr/bin/env python3
"""Makes a folder with one of everything a root file system may hold.

    make_tree.py FOLDER      as root: with devices, owners, capabilities; else without
"""

import os
import socket
import stat
import subprocess
import sys


def write(path, text=b"", mode=0o644):
    with open(path, "wb") as file:
        file.write(text)
    os.chmod(path, mode)


def owns_all_ids():
    """False in a user namespace with one id, where uid 0 is an ordinary user."""
    with open("/proc/self/uid_map") as ids:
        return int(ids.read().split()[2]) > 65536


def main():
    top = os.fsencode(sys.argv[1])
    root = os.geteuid() == 0 and owns_all_ids()
    os.makedirs(top)
    os.chdir(top)

    os.makedirs(b"usr/bin")
    write(b"usr/bin/tool", b"#!/bin/sh\n" * 1000, 0o755)
    write(b"usr/bin/setuid", b"x", 0o4755)
    write(b"usr/bin/setgid", b"x", 0o2755)
    write(b"read-only", b"x", 0o400)
    write(b"nothing", b"", 0o000 if root else 0o200 | 0o400)
    os.symlink(b"usr/bin", b"bin")
    os.symlink(b"/etc/passwd", b"absolute-link")
    os.symlink(b"../../../../etc/shadow", b"outward-link")
    os.symlink(b"x" * 150, b"long-link")
    os.mkdir(b"tmp")
    os.chmod(b"tmp", 0o1777)
    os.mkdir(b"closed")
    write(b"closed/inside", b"x")
    os.chmod(b"closed", 0o555)

    # Order: "a" < "a-b" as names of a folder, though "a-b" < "a/x" as paths.
    os.mkdir(b"a")
    write(b"a/x", b"1")
    write(b"a-b", b"2")

    # Names.
    write("ünï".encode(), b"u")
    write(b"\xff\xfe not utf-8", b"n")
    write(b"new\nline", b"n")
    write(b"n" * 255, b"l")
    os.makedirs(b"/".join([b"d" * 60] * 4))
    write(b"/".join([b"d" * 60] * 4) + b"/f", b"deep")
    write(b"e" * 99, b"99")
    write(b"e" * 100, b"100")
    write(b"e" * 101, b"101")

    # Deep nesting, by steps: the path is longer than a single call takes.
    here = os.open(b".", os.O_RDONLY)
    os.mkdir(b"nested")
    at = os.open(b"nested", os.O_RDONLY)
    for level in range(300):
        os.mkdir(b"%d" % level, dir_fd=at)
        down = os.open(b"%d" % level, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = down
    os.close(at)
    os.close(here)

    # Hard links: of a file, a link, a fifo.
    os.mkdir(b"links")
    write(b"links/b", b"shared")
    os.link(b"links/b", b"links/a")
    os.link(b"links/b", b"aaa-first")
    os.symlink(b"b", b"links/s1")
    os.link(b"links/s1", b"links/s2", follow_symlinks=False)
    os.mkfifo(b"links/fifo", 0o620)
    os.link(b"links/fifo", b"links/fifo2")

    # Sizes and holes.
    for size in (0, 1, 511, 512, 513, 4096, 262143, 262144, 262145):
        write(b"size-%d" % size, os.urandom(size))
    with open(b"sparse", "wb") as file:
        file.truncate(1 << 27)
        file.seek(60 << 20)
        file.write(b"middle")
    with open(b"sparse-end", "wb") as file:
        file.write(b"begin")
        file.truncate(3 << 20)

    # Left out.
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(b"socket")
    unix.close()

    # Xattrs.
    write(b"xattrs", b"x")
    os.setxattr(b"xattrs", b"user.binary", b"\0\1\xff=\n")
    os.setxattr(b"xattrs", b"user.empty", b"")
    os.setxattr(b"xattrs", b"user.with=and%", b"odd")
    os.setxattr(b"xattrs", b"user.overlay.redirect", b"/etc")
    os.setxattr(b"a", b"user.folder", b"f" * 1000)
    subprocess.run(["setfacl", "-d", "-m", "u::rwx,g::r-x,o::r-x", b"links"], check=True)

    # Times.
    os.utime(b"a-b", ns=(1, 1))
    os.utime(b"a/x", ns=(0, 1_000_000_000))
    os.utime(b"size-1", ns=(0, -1))
    os.utime(b"size-0", ns=(0, -1_500_000_000))
    os.utime(b"size-511", ns=(0, -3_000_000_000))
    os.utime(b"size-512", ns=(0, 0o77777777777 * 10**9 // 8))
    os.utime(b"bin", ns=(7, 123_456_789), follow_symlinks=False)

    if root:
        os.mknod(b"null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod(b"loop0", stat.S_IFBLK | 0o660, os.makedev(7, 0))
        os.mknod(b"whiteout", stat.S_IFCHR | 0o600, os.makedev(0, 0))
        os.chown(b"usr/bin/setuid", 0, 5)
        os.chmod(b"usr/bin/setuid", 0o4755)
        os.chown(b"a", 1000, 1000)
        os.chown(b"a-b", 3_000_000, 4_000_000_000)
        os.lchown(b"bin", 12, 34)
        os.chown(b"null", 0, 6)
        os.setxattr(b"xattrs", b"trusted.kept", b"t")
        os.setxattr(b"xattrs", b"trusted.overlay.opaque", b"y")
        os.setxattr(b"bin", b"trusted.link", b"l", follow_symlinks=False)
        subprocess.run(["setfacl", "-m", "u:1000:rw", b"read-only"], check=True)
        capability = bytes.fromhex("0100000200200000000000000000000000000000")
        os.setxattr(b"usr/bin/tool", b"security.capability", capability)
    os.utime(b"tmp", ns=(5, 5_000_000_005))
    os.utime(b".", ns=(9, 9_000_000_009))


main()

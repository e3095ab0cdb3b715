#!/usr/bin/env python3
"""Stacks of layers: what overlay makes of ours is what umoci unpacks of the same image.

Layers are made at random from a few names, so that they meet: folders over files, whiteouts, opaque
folders, links, parents that are left out. `CAISSON_SEED` repeats one, `CAISSON_ROUNDS` says how many.
Root only: umoci gives files their owners, and the stacks are mounted.
"""

import os
import random
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import unpack_test
from archives import END, entry, folder, layout, pax, symlink, tree
from unpack_test import ROOT, SANITIZED, needs

NAMES = [b'a', b'b', b'c']
ROUNDS = int(os.environ.get('CAISSON_ROUNDS', 5 if SANITIZED else 15))


def random_layer(random_):
    """An archive in which each name is said once, in any order that has folders before what is in them
    where they are said at all."""
    parts, opaque = [], []

    def fill(path, depth, is_hiding):
        for name in random_.sample(NAMES, random_.randint(0, len(NAMES))):
            inner = path + name
            fields = {'mode': random_.choice([0o755, 0o700, 0o1777, 0o750]), 'uid': random_.choice([0, 7]),
                      'gid': random_.choice([0, 8]), 'mtime': random_.randint(1, 10**9)}
            extended = pax([(b'SCHILY.xattr.user.x', b'%d' % random_.randint(0, 9))]) \
                if random_.random() < 0.3 else b''
            # Below an opaque folder nothing is left out: umoci takes it as the layers below have it when their
            # whiteout comes later.
            kind = random_.choice(['file', 'file', 'folder', 'folder', 'link', 'whiteout', 'folder' if is_hiding else 'omitted'])
            if kind == 'file':
                parts.append(extended + entry(inner, inner * random_.randint(0, 300), **fields))
            elif kind == 'link':
                # Under names that are no folders': umoci goes through links of the layers below.
                parts.append(symlink(path + b'l' + name, random_.choice([b'a', b'/b', b'../c/a']), **fields))
            elif kind == 'whiteout':
                parts.append(entry(path + b'.wh.' + random_.choice([b'', b'l']) + name))
            elif depth < 4:
                is_opaque = False
                if kind == 'folder':
                    parts.append(extended + folder(inner, **fields))
                    is_opaque = random_.random() < 0.3
                    if is_opaque:
                        opaque.append(entry(inner + b'/.wh..wh..opq'))
                before = len(parts)
                fill(inner + b'/', depth + 1, is_hiding or is_opaque)
                if kind == 'omitted' and len(parts) == before:
                    parts.append(entry(inner + b'/f', b'x', **fields))

    fill(b'', 0, False)
    random_.shuffle(opaque)
    return b''.join(parts + opaque) + END


class Stacks(unpack_test.Case):
    def theirs(self, layers):
        bundle = os.path.join(self.folder, f'bundle-{self.count}')
        unpacked = subprocess.run(['umoci', 'unpack', '--image', f'{layout(os.path.join(self.folder, f"layout-{self.count}"), layers)}:it', bundle],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        # It makes no folder in the place of a file for what is in it, where the layer leaves it out.
        if unpacked.returncode != 0 and b'not a directory' in unpacked.stderr:
            return None
        self.assertEqual(unpacked.returncode, 0, unpacked.stderr)
        return tree(os.path.join(bundle, 'rootfs'))

    def ours(self, layers):
        names = []
        for layer in layers:
            done, path = self.unpack(layer)
            name = f'layers/{os.path.basename(path)}'
            if done.UnpackOmitted:
                settled = self.supervisor.call('Settle', [('UnpackTarget', name),
                                                          *(('Layer', lower) for lower in names)])
                self.assertEqual(settled.type, 'Done', settled)
            names.append(name)
        merged = os.path.join(self.folder, f'merged-{self.count}')
        os.mkdir(merged)
        empty = os.path.join(self.folder, 'empty')
        os.makedirs(empty, exist_ok=True)
        lower = ':'.join([os.path.join(self.store, name) for name in reversed(names)] + [empty])
        options = f'lowerdir={lower},redirect_dir=nofollow,metacopy=off,index=off'
        subprocess.run(['mount', '-t', 'overlay', '-o', options, 'overlay', merged], check=True)
        try:
            return tree(merged)
        finally:
            subprocess.run(['umount', merged], check=True)

    @unittest.skipUnless(ROOT, 'umoci gives files their owners as root alone')
    @needs('umoci')
    def test_overlay_makes_of_ours_what_umoci_makes(self):
        first = int(os.environ.get('CAISSON_SEED', random.randrange(1 << 32)))
        compared = 0
        for seed in range(first, first + (1 if 'CAISSON_SEED' in os.environ else ROUNDS)):
            random_ = random.Random(seed)
            layers = [random_layer(random_) for _ in range(random_.randint(2, 5))]
            with self.subTest(f'CAISSON_SEED={seed}'):
                ours, theirs = self.ours(layers), self.theirs(layers)
                if theirs is None:
                    continue
                compared += 1
                # The time of a folder that is changed by a later layer is what it is by then.
                for found in (ours, theirs):
                    for said in found.values():
                        if said['type'] == oct(0o040000):
                            del said['mtime']
                different = {name: (ours.get(name), theirs.get(name)) for name in ours.keys() | theirs.keys()
                             if ours.get(name) != theirs.get(name)}
                self.assertEqual(different, {})
        self.assertGreater(compared, 0 if 'CAISSON_SEED' in os.environ else ROUNDS // 3)


if __name__ == '__main__':
    unittest.main(verbosity=2 if '-v' in sys.argv else 1)

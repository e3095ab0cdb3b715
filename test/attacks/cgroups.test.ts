// needs: the native part; root, or a user with a delegated cgroup; a static busybox
import { readFileSync } from 'node:fs';

import { attack } from '../helpers/attack.js';
import { checkLeaks } from '../helpers/leak.js';
import { limitable } from '../helpers/limitable.js';
import { missing, needs } from '../helpers/needs.js';

const { describe } = needs('native', 'userns', 'cgroups', 'busybox', 'unguarded');
checkLeaks();

describe.skipIf(!limitable('freeze'))('a container’s own group', () => {
  attack('those of the host are seen', 'kCgroupNamespace', async (target) => {
    const lines = (await target.run(target.host, ['cat', '/proc/self/cgroup'])).trim().split('\n');
    return lines.some((line) => !line.endsWith(':/'));
  });

  // CVE-2022-0492 begins with a group that can be written to, CVE-2023-25809 with one that an ordinary user was given.
  for (const [name, write] of [
    ['has one made below it', 'mkdir x && rmdir x'],
    ['is joined', 'echo 0 > cgroup.procs'],
    ['is given to somebody', 'chmod 777 .'],
  ] as const) {
    attack(name, 'kCgroupReadOnly', async (target) => {
      const script = `exec 2>/dev/null; for folder in /sys/fs/cgroup /sys/fs/cgroup/*/; do
        cd $folder && test -e cgroup.procs && { ${write}; } && echo changed; done; true`;
      return (await target.run(target.host, ['sh', '-c', script])).includes('changed');
    });
  }
});

/**
 * Mounts each v1 hierarchy of the machine, and says where it has the machine's own root before it: `agent` is
 * writable, `group` can be made there. What is written is what was there. The other way to name an agent is a remount.
 */
const MOUNT_EACH = readFileSync('/proc/self/mounts', 'utf8')
  .split('\n')
  .map((line) => /^\S+ \S+ cgroup (\S+)/.exec(line)?.[1]?.split(',') ?? [])
  .map((options) =>
    options.filter((option) => !/^(rw|ro|relatime|xattr|no.*|release_agent=.*)$/.test(option)),
  )
  .filter((options) => options.length > 0)
  .map((options) => [...(options[0]?.startsWith('name=') ? ['none'] : []), ...options].join())
  .map(
    (list) => `if mount -t cgroup -o ${list} cgroup /tmp/m; then
  if agent=$(cat /tmp/m/release_agent); then
    mkdir /tmp/m/x && rmdir /tmp/m/x && echo group
    echo "$agent" > /tmp/m/release_agent && echo agent
  else
    mount -o remount,${list},release_agent=/nonesuch cgroup /tmp/m && echo remounted
  fi
  umount /tmp/m
fi`,
  )
  .join('\n');
const mountEach = (shell: string): string[] => [
  'sh',
  '-c',
  `mkdir /tmp/m; exec 2>/dev/null; ${shell} '${MOUNT_EACH}'; exit 0`,
];

// CVE-2022-0492: who may mount finds a hierarchy in which he has no group of his own.
describe.skipIf(missing('root', 'cgroup1') !== null)(
  'the machine’s hierarchies are mounted',
  () => {
    // There is one in a hierarchy's root alone.
    attack(
      'and name a program for the host to run, seen from one’s own group',
      'kCgroupNamespace',
      async (target) => {
        const script = 'find /sys/fs/cgroup -name release_agent';
        const security = { preset: 'privileged' } as const;
        return (await target.run(target.host, ['sh', '-c', script], { security })) !== '';
      },
    );

    attack('with CAP_SYS_ADMIN', 'kOwnHierarchies', async (target) => {
      const security = { capAdd: ['SYS_ADMIN'] };
      return /agent|remounted/.test(
        await target.run(target.host, mountEach('sh -c'), { security }),
      );
    });

    attack('in a user namespace', 'kOwnHierarchies', async (target) => {
      const security = { seccomp: 'unconfined' } as const;
      return /group|agent|remounted/.test(
        await target.run(target.host, mountEach('unshare -UrmC sh -c'), { security }),
      );
    });

    attack('by an exec with every privilege', 'kOwnHierarchies', async (target) => {
      await using box = await target.sleeper();
      const { stdout } = await box.exec(mountEach('sh -c'), { privileged: true });
      return /agent|remounted/.test(stdout);
    });
  },
);

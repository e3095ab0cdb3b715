// needs: the native part; root or user namespaces; a static busybox
import { attack } from '../helpers/attack.js';
import { checkLeaks } from '../helpers/leak.js';
import { missing, needs } from '../helpers/needs.js';

const { describe } = needs('native', 'userns', 'unguarded');
checkLeaks();

// CVE-2024-21626, CVE-2016-9962: a descriptor that a mistake has left open.
attack(
  'a descriptor of ours',
  'kClosedDescriptors',
  async (target) => {
    const list = ['ls', '/proc/self/fd'];
    const first = await target.run(target.host, list);
    await using box = await target.sleeper();
    const { stdout: joined } = await box.exec(list);
    // The list's own is the fourth.
    return [first, joined].every((text) => text.trim().split('\n').length > 4);
  },
  { build: 'tests' },
);

describe.skipIf(missing('root', 'cgroups') !== null)('cgroups', () => {
  attack('those of the host are seen', 'kCgroupNamespace', async (target) => {
    const lines = (await target.run(target.host, ['cat', '/proc/self/cgroup'])).trim().split('\n');
    return lines.some((line) => !line.endsWith(':/'));
  });

  // CVE-2022-0492 begins with a group that can be written to.
  attack('one’s own is changed', 'kCgroupReadOnly', async (target) => {
    const script = `for folder in /sys/fs/cgroup /sys/fs/cgroup/*/; do
      mkdir $folder/x 2>/dev/null && rmdir $folder/x && echo changed && break; done; true`;
    return (await target.run(target.host, ['sh', '-c', script])) === 'changed\n';
  });
});

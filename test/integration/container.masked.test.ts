// needs: the native part; user namespaces
import { expect } from 'vitest';

import { needs } from '../helpers/needs.js';
import { checkLeaks } from '../helpers/leak.js';
import { programs } from '../helpers/program.js';
import { tempStore } from '../helpers/temp.js';

const { describe, test } = needs('native', 'userns');

/** Like an outer container: what is masked there is locked for whoever makes a user namespace inside. */
const masked = (script: string): readonly string[] => [
  ...['unshare', '--user', '--map-root-user', '--mount', '--propagation', 'private', 'sh', '-c'],
  `${script} && exec "$@"`,
  'sh',
];

const PROGRAM = `
const [root, runDir, host = '{}'] = process.argv.slice(1);
try {
  const runtime = await caisson.Runtime.open({ root, runDir, mode: 'rootless' });
  try {
    const { stdout } = await caisson.Container.run(caisson.Image.host(JSON.parse(host)), ['echo', 'ran'], { runtime });
    console.log(JSON.stringify({ stdout }));
  } finally {
    await runtime.close();
  }
} catch ({ code, details, hint }) {
  console.log(JSON.stringify({ code, details, hint }));
}
`;

describe('inside a container that masks', () => {
  checkLeaks();

  describe('/proc', () => {
    const run = programs({ prefix: masked('mount --bind /dev/null /proc/timer_list') });
    test('the recipe is said', async () => {
      await using store = await tempStore();
      const { stdout, stderr } = await run(PROGRAM, store.options.root, store.options.runDir);
      expect(stderr).toBe('');
      expect(JSON.parse(stdout)).toMatchObject({
        code: 'ERR_SUPERVISOR_START',
        details: { step: 'slimRoot', errno: 'EPERM', path: 'proc' },
        hint: expect.stringMatching(/systempaths=unconfined.*procMount: Unmasked/) as string,
      });
    });
  });

  describe('with a mount below a folder that is to be written to', () => {
    const run = programs({ prefix: masked('mount -t tmpfs none /usr/share') });
    const ran = async (host: object): Promise<unknown> => {
      await using store = await tempStore();
      const { root, runDir } = store.options;
      return JSON.parse((await run(PROGRAM, root, runDir, JSON.stringify(host))).stdout);
    };
    test('which one is said; others and none can be had', async () => {
      expect(await ran({ writable: ['/usr'] })).toMatchObject({
        code: 'ERR_UNSUPPORTED',
        details: { reason: expect.stringContaining('/usr/share is mounted below') as string },
        hint: expect.stringContaining('no mounts below') as string,
      });
      for (const host of [{}, { writable: ['/usr/lib'] }]) {
        expect(await ran(host)).toEqual({ stdout: 'ran\n' });
      }
    });
  });

  describe('nothing', () => {
    const run = programs({ prefix: masked('true') });
    test('it runs', async () => {
      await using store = await tempStore();
      const { stdout } = await run(PROGRAM, store.options.root, store.options.runDir);
      expect(JSON.parse(stdout)).toEqual({ stdout: 'ran\n' });
    });
  });
});

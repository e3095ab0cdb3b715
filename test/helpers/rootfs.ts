import { execFile } from 'node:child_process';
import { chmod, copyFile, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { busybox } from './needs.js';
import { tempFolder } from './temp.js';

const run = promisify(execFile);

/**
 * Fills `folder` with a small root file system: a static busybox with all its commands, passwd and
 * group (root, nobody, `app` with uid 1000 and the further group `extra`). There is no /proc, /sys
 * or /dev in it.
 */
export async function busyboxRootfs(folder: string): Promise<string> {
  const program = busybox();
  if (program === null) throw new Error('busybox-static is not installed');
  await mkdir(join(folder, 'bin'), { recursive: true });
  await copyFile(program, join(folder, 'bin/busybox'));
  await chmod(join(folder, 'bin/busybox'), 0o755);
  const { stdout } = await run(program, ['--list']);
  for (const name of stdout.split('\n')) {
    if (name !== '' && name !== 'busybox') await symlink('busybox', join(folder, 'bin', name));
  }
  await mkdir(join(folder, 'etc'), { recursive: true });
  await mkdir(join(folder, 'root'), { recursive: true, mode: 0o700 });
  await mkdir(join(folder, 'home/app'), { recursive: true });
  await mkdir(join(folder, 'tmp'), { recursive: true });
  await chmod(join(folder, 'tmp'), 0o1777);
  await writeFile(
    join(folder, 'etc/passwd'),
    'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\napp:x:1000:1000:app:/home/app:/bin/sh\n',
  );
  await writeFile(
    join(folder, 'etc/group'),
    'root:x:0:\nnogroup:x:65534:\napp:x:1000:\nextra:x:2000:app\n',
  );
  return folder;
}

/** Compiles a C program statically to `output`. */
export async function compileStatic(source: string, output: string): Promise<string> {
  const input = `${output}.c`;
  await writeFile(input, source);
  await run('cc', ['-O2', '-static', '-o', output, input]);
  return output;
}

/** A root file system with nothing in it but a static /true. */
export async function trueRootfs(folder: string): Promise<string> {
  await using scratch = await tempFolder();
  await compileStatic('int main(void) { return 0; }\n', join(scratch.path, 'true'));
  await mkdir(folder, { recursive: true });
  await copyFile(join(scratch.path, 'true'), join(folder, 'true'));
  await chmod(join(folder, 'true'), 0o755);
  return folder;
}

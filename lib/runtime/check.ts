import type { HostReport } from '../host/check.js';
import { loadNative } from '../native/load.js';
import { defaultFolders } from './folders.js';
import type { Mode } from './parts.js';

/** The host's report, tried with the supervisor and the folders that `Runtime.open()` would take. */
export async function checkMachine(asked: { readonly mode?: Mode }): Promise<HostReport> {
  // Rarely asked for, and it needs node:child_process.
  const { checkHost } = await import('../host/check.js');
  return await checkHost({
    supervisor: () => loadNative().supervisor,
    ...defaultFolders(),
    mode: asked.mode,
  });
}

import { checkHost, type HostReport } from '../host/check.js';
import { defaultFolders } from './folders.js';
import type { Mode } from './parts.js';

/** The host's report, tried with the supervisor and the folders that `Runtime.open()` would take. */
export async function checkMachine(asked: { readonly mode?: Mode }): Promise<HostReport> {
  const { loadNative } = await import('../native/load.js');
  return await checkHost({
    supervisor: () => loadNative().supervisor,
    ...defaultFolders(),
    mode: asked.mode,
  });
}

import type { StepName } from '../native/steps.js';
import type { Plan } from './plan.js';
import { SHARED } from './shared-namespaces.js';

/** The path that item `index` of a plan is about, for the error of a failed step. `cwd`: an exec's own. */
export function pathOfItem(
  { oci, files, peers }: Plan,
  step: StepName,
  index: number,
  cwd = oci.process.cwd,
): string | undefined {
  switch (step) {
    case 'bindSource':
      return oci.mounts[index]?.source;
    case 'mount':
    case 'mountTarget':
    case 'mapMount':
      return oci.mounts[index]?.destination;
    case 'devices':
      return oci.linux.devices[index]?.path;
    case 'files':
      return files[index]?.path;
    case 'maskedPath':
      return oci.linux.maskedPaths[index];
    case 'readOnlyPath':
      return oci.linux.readonlyPaths[index];
    case 'sysctl':
      return Object.keys(oci.linux.sysctl)[index];
    case 'shareNamespace': {
      const kind = SHARED[index];
      return kind === undefined ? undefined : peers[kind]?.name;
    }
    case 'workdir':
      return cwd;
    case 'rlimit':
      return oci.process.rlimits[index]?.type;
    default:
      return undefined;
  }
}

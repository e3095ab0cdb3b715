import { capabilitiesOf } from '../../lib/container/capabilities.js';
import { MASKED_PATHS } from '../../lib/container/defaults.js';
import type { PlanHost } from '../../lib/container/plan.js';

/** A machine for plans: root's, with every controller. */
export const PLAN_HOST: PlanHost = {
  uids: 2 ** 32 - 1,
  gids: 2 ** 32 - 1,
  rootless: false,
  capabilities: capabilitiesOf(2n ** 64n - 1n),
  devicesAt: () => [],
  allDevices: () => [],
  timeNamespaces: true,
  appArmor: undefined,
  selinux: undefined,
  maskedPaths: MASKED_PATHS,
  cgroups: true,
  controls: 0x3ff,
  oomScoreAdj: 0,
  pageSizes: ['2MB'],
  hostname: 'machine',
  mqueue: true,
  hosts: '10.0.0.1\tmachine',
  resolvConf: 'nameserver 10.0.0.2\n',
  stackBytes: 8 * 2 ** 20,
  openFiles: 524_288,
  arch: 'x64',
  release: '6.1.0-37-amd64',
};

import type { RuntimeParts } from '../runtime/parts.js';
import type { StoredContainer } from '../store/index.js';
import type { ExitInfo } from './exit-info.js';
import type { OciSpec } from './oci-spec.js';
import { specOfPlan } from './spec-of-plan.js';
import type { Status } from './state.js';
import { fromStored, storedExit } from './stored-state.js';
import type { Supervised } from './supervise.js';
import type { StageTimings } from './timings.js';

/** What is known about a container: plain data. */
export interface ContainerInfo {
  readonly id: string;
  readonly name: string;
  /** Id of its image. */
  readonly image: string;
  /** What the image was called when the container was made. */
  readonly imageReference: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly createdAt: Date;
  /** Of a container of another Runtime: as it wrote it down last. */
  readonly state: Status;
  /** Host pid of its pid 1; null when it does not run. */
  readonly pid: number | null;
  /** Of the last start; null when it was never started. */
  readonly startedAt: Date | null;
  /** How it ended last; null when it never did. */
  readonly exit: ExitInfo | null;
  /** The OCI runtime-spec config it is started with. */
  readonly spec: OciSpec;
  /** Folders of its image's layers in the store, lowest first. */
  readonly layers: readonly string[];
  readonly timings: StageTimings;
  /** Of the Runtime that runs it. */
  readonly runtimeId: string;
}

export function inspectOwn(core: Supervised): ContainerInfo {
  const { config, plan, state, timings } = core;
  const run = 'run' in state ? state.run : undefined;
  const exit = 'exit' in state ? (state.exit ?? null) : null;
  return {
    id: config.id,
    name: config.name,
    image: config.image,
    imageReference: config.imageReference,
    labels: config.labels,
    createdAt: new Date(config.createdAt),
    state: state.status,
    pid: run?.pid ?? null,
    startedAt: run?.startedAt ?? exit?.startedAt ?? null,
    exit,
    spec: specOfPlan(plan, core.parts),
    layers: plan.layers,
    timings,
    runtimeId: config.keeper.runtimeId,
  };
}

/** Of a container that another Runtime runs: what its records say. */
export async function inspectForeign(
  parts: RuntimeParts,
  { config, state }: StoredContainer,
): Promise<ContainerInfo> {
  const current = (await parts.store.containers.read(config.id))?.state ?? state;
  const stored = fromStored(current);
  const exit = storedExit(stored) ?? null;
  return {
    id: config.id,
    name: config.name,
    image: config.image,
    imageReference: config.imageReference,
    labels: config.labels,
    createdAt: new Date(config.createdAt),
    state: stored.status,
    pid: stored.pid ?? null,
    startedAt:
      stored.startedAt === undefined ? (exit?.startedAt ?? null) : new Date(stored.startedAt),
    exit,
    spec: (await parts.store.containers.readSpec(config.id)) as OciSpec,
    layers: config.layers,
    timings: {},
    runtimeId: config.keeper.runtimeId,
  };
}

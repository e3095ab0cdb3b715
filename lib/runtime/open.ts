import { randomBytes } from 'node:crypto';
import { CaissonError, throwIfAborted } from '../errors/index.js';
import { findIdHelpers, type IdHelpers } from '../host/subordinate-ids.js';
import { makePrivateFolder, resolveFolders } from './folders.js';
import { Tag, Type, type CgroupMode } from '../native/protocol.js';
import { FieldWriter } from '../native/wire.js';
import type { Binding } from '../native/types.js';
import { loadNative } from '../native/load.js';
import {
  admitStore,
  bindIdMap,
  storeOf,
  sweep,
  together,
  type IdMap,
  type Keeper,
  type Store,
} from '../store/index.js';
import type { Keeping, Mode, RuntimeEvent, RuntimeParts } from './parts.js';
import type { RegistrySettings } from './registries-request.js';
import type { OpenRequest } from './request.js';
import type { SupervisorFacts } from './supervisor-types.js';
import { Supervisor } from './supervisor.js';

/**
 * Folders, native part, store, supervisor: in this order, and back when one of them fails. A new store is made whole
 * while the supervisor starts.
 */
export async function openParts(request: OpenRequest): Promise<OpenedParts> {
  throwIfAborted(request.signal);
  const { mode, root, runDir } = resolveFolders(request);
  const native = loadNative();
  const admitted = admitStore(root, mode);
  await together([admitted, makePrivateFolder(runDir)]);
  const store = await admitted;
  throwIfAborted(request.signal);
  let recorded = store.idMap;
  const helpers = mode === 'rootless' ? findIdHelpers() : {};
  const start = async (
    more: readonly string[],
    meanwhile: readonly Promise<unknown>[] = [],
    signal?: AbortSignal,
  ): Promise<Keeping> => {
    const runtimeId = newRuntimeId();
    const options = { '--root': root, '--run': runDir, '--mode': mode, '--id': runtimeId };
    const starting = Supervisor.start({
      binding: native.binding,
      executable: native.supervisor,
      args: [
        'supervise',
        ...Object.entries(options).flat(),
        '--cgroup-parent',
        request.cgroupParent,
        ...idArguments(helpers),
        ...more,
        ...(process.env['CAISSON_DEBUG'] === undefined ? [] : ['--debug']),
      ],
      signal,
    });
    try {
      await together([...meanwhile, starting]);
      const supervisor = await starting;
      if (mode === 'rootless') {
        const map = mapInForce(helpers, supervisor.facts);
        await bindIdMap(root, recorded, map);
        recorded = map;
      }
      return { supervisor, keeper: { runtimeId, folder: `${runDir}/${runtimeId}` } };
    } catch (error) {
      await starting.then(
        (supervisor) => supervisor.close(),
        () => undefined, // it never started
      );
      throw error;
    }
  };
  const parts = new OpenedParts(
    {
      root,
      runDir,
      mode,
      labels: request.labels,
      registries: request.registries,
      binding: native.binding,
    },
    await start([], [store.complete()], request.signal),
    () => start(['--host-pids']),
  );
  parts.background(claimScratch(parts, parts));
  parts.background(sweepStore(parts));
  return parts;
}

const newRuntimeId = (): string => randomBytes(8).toString('hex');

function idArguments({ uids, gids }: IdHelpers): string[] {
  return [
    ...(uids === undefined ? [] : ['--newuidmap', uids.program, '--uid-map', uids.map]),
    ...(gids === undefined ? [] : ['--newgidmap', gids.program, '--gid-map', gids.map]),
  ];
}

/** A helper that fails leaves its side at one id. */
function mapInForce({ uids, gids }: IdHelpers, facts: SupervisorFacts): IdMap {
  return {
    uids: facts.mappedUids > 1 ? (uids?.map ?? '') : '',
    gids: facts.mappedGids > 1 ? (gids?.map ?? '') : '',
  };
}

/** Whoever sweeps the store sees by it that the supervisor's scratch is somebody's. */
async function claimScratch(
  parts: RuntimeParts,
  { supervisor, keeper: { runtimeId } }: Keeping,
): Promise<void> {
  // Without it, it is young for a while.
  const claim = await parts.store.scratch.claim(runtimeId).catch(() => undefined);
  if (claim === undefined) return;
  parts.onClose(claim.release);
  // It may have ended before, with all that was there then.
  void supervisor.gone.then(claim.withdraw);
}

/** What the dead left behind goes while the program works; failing at it is the next opener's affair. */
async function sweepStore({ store, supervisor }: OpenedParts): Promise<void> {
  const remove = async (folder: string): Promise<void> => {
    const body = new FieldWriter(256).string(Tag.folder, folder).bytes();
    await supervisor.request(Type.remove, body, { action: 'sweep' });
  };
  await sweep({ store, remove }).catch(() => undefined);
}

/** A Runtime's parts, and what only the Runtime itself may do with them. */
export class OpenedParts implements RuntimeParts {
  readonly id: string;
  readonly root: string;
  readonly runDir: string;
  readonly mode: Mode;
  readonly cgroupMode: CgroupMode;
  readonly controls: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly registries: readonly RegistrySettings[];
  readonly binding: Binding;
  readonly store: Store;
  readonly supervisor: Supervisor;
  readonly keeper: Keeper;
  readonly #startOutside: () => Promise<Keeping>;
  #outside: Promise<Keeping> | undefined;
  readonly #slots = new Map<symbol, unknown>();
  readonly #work = new Set<Promise<unknown>>();
  readonly #undo: (() => Promise<void>)[] = [];
  #listener: ((event: RuntimeEvent) => void) | undefined;
  #closed = false;
  #undone = false;

  constructor(
    given: Pick<RuntimeParts, 'root' | 'runDir' | 'mode' | 'labels' | 'registries' | 'binding'>,
    { supervisor, keeper }: Keeping,
    startOutside: () => Promise<Keeping>,
  ) {
    this.id = keeper.runtimeId;
    this.binding = given.binding;
    this.root = given.root;
    this.runDir = given.runDir;
    this.mode = given.mode;
    this.labels = given.labels;
    this.registries = given.registries;
    this.supervisor = supervisor;
    this.keeper = keeper;
    this.#startOutside = startOutside;
    this.cgroupMode = supervisor.facts.cgroupMode;
    this.controls = supervisor.facts.controls;
    this.store = storeOf(this);
  }

  async outside(): Promise<Keeping> {
    this.assertOpen('start a container');
    if (this.#outside === undefined) {
      const started = this.#startOutside();
      this.#outside = started;
      const forget = (): void => {
        if (this.#outside === started) this.#outside = undefined;
      };
      started.then(({ supervisor }) => supervisor.gone.then(forget), forget);
      this.background(started.then(async (keeping) => await claimScratch(this, keeping)));
    }
    return await this.#outside;
  }

  assertOpen(action: string): void {
    if (this.#closed) throw new CaissonError('ERR_RUNTIME_CLOSED', { action });
  }

  isUsable(): boolean {
    return !this.#closed && !this.supervisor.isLost;
  }

  background(work: Promise<unknown>): void {
    this.#work.add(work);
    const done = (): void => void this.#work.delete(work);
    work.then(done, done);
  }

  slot<T>(key: symbol, make: () => T): T {
    if (!this.#slots.has(key)) this.#slots.set(key, make());
    return this.#slots.get(key) as T;
  }

  onEvent(listener: (event: RuntimeEvent) => void): void {
    this.#listener = listener;
  }

  emit(event: RuntimeEvent): void {
    this.#listener?.(event);
  }

  onClose(undo: () => Promise<void>): void {
    // What comes about while the rest is being undone is undone at once.
    if (this.#undone) this.background(undo());
    else this.#undo.push(undo);
  }

  /** Every noun's undo runs, whatever the others did; the first failure is the one that is told. */
  async close(): Promise<void> {
    this.#closed = true;
    const failures: unknown[] = [];
    // What is half made now is whole or gone then, and found by what follows.
    await Promise.allSettled(this.#work);
    for (let undo = this.#undo.pop(); undo !== undefined; undo = this.#undo.pop()) {
      await undo().catch((error: unknown) => failures.push(error));
    }
    this.#undone = true;
    await Promise.allSettled(this.#work);
    await this.#outside?.then(
      ({ supervisor }) => supervisor.close(),
      () => undefined, // it never started
    );
    await this.supervisor.close();
    this.emit({ type: 'close', id: this.id, time: new Date() });
    if (failures.length > 0) throw failures[0];
  }
}

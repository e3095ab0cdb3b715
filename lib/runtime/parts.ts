import type { CgroupMode } from '../native/protocol.js';
import type { Binding } from '../native/types.js';
import type { Keeper } from '../store/keeper.js';
import type { Store } from '../store/store.js';
import type { RegistrySettings } from './registries-request.js';
import type { Supervisor } from './supervisor.js';

/** With root's rights, or as an ordinary user in a user namespace. */
export type Mode = 'root' | 'rootless';

/** A supervisor, and how other programs see whether it lives. */
export interface Keeping {
  readonly supervisor: Supervisor;
  readonly keeper: Keeper;
}

/**
 * What the nouns need of a Runtime, as plain values and seams: images, containers, networks and
 * volumes are built on this and never on the class.
 */
export interface RuntimeParts {
  /** Sixteen hexadecimal digits, new for each Runtime. */
  readonly id: string;
  /** Absolute path of the store. */
  readonly root: string;
  /** Absolute path of the run folder, which holds `<id>/journal`. */
  readonly runDir: string;
  readonly mode: Mode;
  readonly cgroupMode: CgroupMode;
  /** What its cgroups can limit: bits of `Control`. */
  readonly controls: number;
  readonly binding: Binding;
  readonly store: Store;
  readonly supervisor: Supervisor;
  /** Of the supervisor. */
  readonly keeper: Keeper;
  /**
   * A supervisor without a pid namespace of its own, for containers in the machine's: started when it is first asked
   * for, and again when it was lost.
   */
  outside(): Promise<Keeping>;
  /** For whatever it makes that has labels. */
  readonly labels: Readonly<Record<string, string>>;
  /** How to reach which registry. */
  readonly registries: readonly RegistrySettings[];
  /** Throws ERR_RUNTIME_CLOSED once `close` was called. */
  assertOpen(action: string): void;
  /** Work that goes on behind a resolved promise; `close` awaits it. */
  background(work: Promise<unknown>): void;
  /** A place for each noun's own state, made on first use. */
  slot<T>(key: symbol, make: () => T): T;
  /** Told to everybody who iterates `Runtime.events`. */
  emit(event: RuntimeEvent): void;
  /** Run by `close`, last added first, before the supervisor ends. */
  onClose(undo: () => Promise<void>): void;
}

export type RuntimeEventName =
  | 'container.create'
  | 'container.start'
  | 'container.exit'
  | 'container.oom'
  | 'container.pause'
  | 'container.resume'
  | 'container.remove'
  | 'image.commit'
  | 'image.import'
  | 'image.load'
  | 'image.pull'
  | 'image.push'
  | 'image.remove'
  | 'close';

/** Something that happened to an image or a container of one Runtime. `run` makes no events. */
export interface RuntimeEvent {
  readonly type: RuntimeEventName;
  /** Id of the container or image it is about; of the Runtime for `close`. */
  readonly id: string;
  /** Of the container. */
  readonly name?: string;
  readonly time: Date;
  /** Nothing sets it in this version. */
  readonly attributes?: Readonly<Record<string, string>>;
}

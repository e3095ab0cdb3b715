import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CaissonError } from '../errors/index.js';
import { readJson, storeError, together, writeJson } from './files.js';
import { isAlive, livingFolders, type Keeper } from './keeper.js';
import type { Locker, Locks } from './locks.js';
import { isName, Names } from './names.js';

/** `config.json`: what was asked. Never changes. */
export interface ContainerConfig<Options = unknown> {
  readonly version: 1;
  /** 64 hexadecimal digits. */
  readonly id: string;
  readonly name: string;
  /** Id of the image. */
  readonly image: string;
  /** What the caller called the image. */
  readonly imageReference: string;
  /** Store-relative, lowest first: they are not removed while this record exists. */
  readonly layers: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  /** ISO 8601. */
  readonly createdAt: string;
  readonly keeper: Keeper;
  readonly options: Options;
}

export interface StoredContainer {
  readonly config: ContainerConfig;
  /** What `writeState` was given last. */
  readonly state: unknown;
}

/**
 * `containers/<id>/{config,spec,state}.json`. A record is there once config.json, written last, is.
 * It is made in its place, which the supervisor's journal names already: whoever dies, nothing stays.
 * None is synced to disk: a container does not outlive a reboot.
 *
 * The order of an end: first the folder (by the supervisor), then the name.
 */
export class ContainerRecords {
  readonly names: Names;
  readonly #folder: string;
  readonly #locker: Locker;

  constructor(folder: string, locker: Locker, locks: Locks) {
    this.#folder = folder;
    this.#locker = locker;
    this.names = new Names(join(folder, '.names'), locker, locks);
  }

  /** Store-relative folder of a container, as the protocol names it. */
  static folderOf(id: string): string {
    return `containers/${id}`;
  }

  /**
   * Reserves the name and writes the record. Afterwards the folder belongs to the caller, who has it
   * removed; register it with the supervisor before.
   *
   * @throws {@link CaissonError} `ERR_NAME_IN_USE`
   */
  async create(config: ContainerConfig, spec: unknown, state: unknown): Promise<void> {
    await this.names.reserve(config.name, config.id, config.keeper);
    const folder = join(this.#folder, config.id);
    try {
      await mkdir(folder, { mode: 0o700 });
      await together([
        writeJson(join(folder, 'spec.json'), spec),
        writeJson(join(folder, 'state.json'), state),
      ]);
      await writeJson(join(folder, 'config.json'), config);
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      await this.names.release(config.name, config.id);
      throw storeError(error, folder);
    }
  }

  /** Takes away what is left of a container whose supervisor is gone, and frees its name. */
  async discard({ id, name }: ContainerConfig): Promise<void> {
    // Whoever undoes for the supervisor may be at it as well; what neither can remove is swept.
    await rm(join(this.#folder, id), { recursive: true, force: true }).catch(() => undefined);
    await this.names.release(name, id);
  }

  async writeState(id: string, state: unknown): Promise<void> {
    await writeJson(join(this.#folder, id, 'state.json'), state);
  }

  /** The OCI plan. */
  async readSpec(id: string): Promise<unknown> {
    return await readJson(join(this.#folder, id, 'spec.json'));
  }

  /** Undefined when there is none, or when it is just being removed. */
  async read(id: string): Promise<StoredContainer | undefined> {
    const [config, state] = await Promise.all([
      readJson(join(this.#folder, id, 'config.json')),
      readJson(join(this.#folder, id, 'state.json')),
    ]);
    if (config === undefined) return undefined;
    return { config: config as ContainerConfig, state };
  }

  /**
   * By id, name, or the beginning of an id, in this order. Containers whose keeper is dead are not
   * found: they only wait to be swept.
   *
   * @throws {@link CaissonError} `ERR_CONTAINER_NOT_FOUND`, `ERR_CONTAINER_AMBIGUOUS`
   */
  async find(container: string): Promise<StoredContainer> {
    const found: StoredContainer[] = [];
    for (const id of await this.#candidates(container)) {
      const stored = await this.read(id);
      if (stored !== undefined && (await isAlive(this.#locker, stored.config.keeper))) {
        found.push(stored);
      }
    }
    const [first] = found;
    if (first === undefined) throw new CaissonError('ERR_CONTAINER_NOT_FOUND', { container });
    if (found.length > 1) {
      throw new CaissonError('ERR_CONTAINER_AMBIGUOUS', { container, matches: found.length });
    }
    return first;
  }

  /** Oldest first. `dead`: their keeper is, so whoever looks removes them. */
  async list(): Promise<{
    readonly alive: readonly StoredContainer[];
    readonly dead: readonly StoredContainer[];
  }> {
    const records = await Promise.all((await this.#ids()).map((id) => this.read(id)));
    const all = records
      .filter((record) => record !== undefined)
      .sort((a, b) => (a.config.createdAt < b.config.createdAt ? -1 : 1));
    const folders = await livingFolders(
      this.#locker,
      all.map(({ config }) => config.keeper),
    );
    const lives = ({ config }: StoredContainer): boolean => folders.has(config.keeper.folder);
    return { alive: all.filter(lives), dead: all.filter((record) => !lives(record)) };
  }

  async #candidates(container: string): Promise<readonly string[]> {
    if (!isName(container)) return [];
    const ids = await this.#ids();
    if (ids.includes(container)) return [container];
    const holder = await this.names.holder(container);
    return holder === undefined ? ids.filter((id) => id.startsWith(container)) : [holder.id];
  }

  /** Ids of folders without a record: being made, or left half-made. */
  async halves(): Promise<string[]> {
    const ids = await this.#ids();
    const records = await Promise.all(ids.map((id) => this.read(id)));
    return ids.filter((_, i) => records[i] === undefined);
  }

  async #ids(): Promise<string[]> {
    return (await readdir(this.#folder)).filter((name) => !name.startsWith('.'));
  }
}

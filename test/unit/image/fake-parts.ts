import { createHash } from 'node:crypto';
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { throwIfAborted, type CaissonError } from '../../../lib/errors/index.js';
import { CgroupMode, Tag, Type } from '../../../lib/native/protocol.js';
import { FieldReader, FieldWriter } from '../../../lib/native/wire.js';
import type { RuntimeEvent, RuntimeParts } from '../../../lib/runtime/parts.js';
import { openStore, Store } from '../../../lib/store/index.js';
import { FakeLocker } from '../store/fake-locker.js';

const mode = process.geteuid!() === 0 ? 'root' : 'rootless';

/** A runtime whose supervisor copies and removes folders, and nothing else. */
export interface FakeParts extends RuntimeParts {
  readonly events: RuntimeEvent[];
  /** Folders that are registered. */
  readonly registered: Set<string>;
  /** Set: imports fail with it. */
  importError: CaissonError | undefined;
  /** Set: imports wait for it. */
  importGate: Promise<void> | undefined;
  /** What `Runtime.close` does. */
  close(): Promise<void>;
}

export async function fakeParts(folder: string, locker = new FakeLocker()): Promise<FakeParts> {
  const root = join(folder, 's');
  await openStore(root, mode);
  const slots = new Map<symbol, unknown>();
  const work: Promise<unknown>[] = [];
  const undo: (() => Promise<void>)[] = [];
  const request = async (
    type: number,
    body: Uint8Array,
    _context: unknown,
    signal?: AbortSignal,
  ): Promise<FieldReader> => {
    const fields = new FieldReader(body.slice());
    const name = fields.string(Tag.folder) ?? '';
    if (type === Type.register) parts.registered.add(name);
    if (type === Type.release || type === Type.remove) parts.registered.delete(name);
    if (type === Type.remove) await rm(join(root, name), { recursive: true, force: true });
    if (type !== Type.import) return new FieldReader(new Uint8Array(0));

    await parts.importGate;
    throwIfAborted(signal);
    if (parts.importError !== undefined) throw parts.importError;
    const source = fields.string(Tag.importSource)!;
    await cp(source, join(root, fields.string(Tag.importTarget)!), { recursive: true });
    const digest = await contentDigest(source);
    const done = new FieldWriter()
      .string(Tag.importResult, `sha256:${digest}`)
      .u64(Tag.importBytes, 5)
      .u64(Tag.importTarBytes, 2048);
    return new FieldReader(done.bytes().slice());
  };
  const parts: FakeParts = {
    id: '0123456789abcdef',
    root,
    runDir: join(folder, 'r'),
    keeper: { runtimeId: '0123456789abcdef', folder: join(folder, 'r', '0123456789abcdef') },
    outside: () => Promise.reject(new Error('no second supervisor')),
    mode,
    cgroupMode: CgroupMode.none,
    controls: 0,
    binding: locker as unknown as RuntimeParts['binding'],
    store: new Store({ root, mode, locker }),
    supervisor: { request } as unknown as RuntimeParts['supervisor'],
    labels: {},
    registries: [],
    assertOpen: () => undefined,
    background: (promise) => void work.push(promise),
    slot: <T>(key: symbol, make: () => T): T => {
      if (!slots.has(key)) slots.set(key, make());
      return slots.get(key) as T;
    },
    emit: (event) => void parts.events.push(event),
    onClose: (f) => void undo.push(f),
    events: [],
    registered: new Set(),
    importError: undefined,
    importGate: undefined,
    close: async () => {
      for (const f of undo.reverse()) await f();
      await Promise.all(work.splice(0));
    },
  };
  return parts;
}

async function contentDigest(folder: string): Promise<string> {
  const hash = createHash('sha256');
  for (const name of (await readdir(folder)).sort()) {
    hash.update(name).update(await readFile(join(folder, name)));
  }
  return hash.digest('hex');
}

/** A folder with one file. */
export async function source(folder: string, name: string, text = name): Promise<string> {
  const path = join(folder, name);
  await mkdir(path);
  await writeFile(join(path, 'file'), text);
  return path;
}

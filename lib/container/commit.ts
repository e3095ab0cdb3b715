import {
  checkArray,
  checkBag,
  checkBoolean,
  checkName,
  checkSignal,
  checkString,
} from '../errors/arguments.js';
import { CaissonError, throwIfAborted } from '../errors/index.js';
import { Parent } from '../image/commit.js';
import { parseImageConfig, type ImageConfig } from '../image/config.js';
import type { ImageRecord } from '../image/records.js';
import { DiffForm, Tag, Type } from '../native/protocol.js';
import { parseReference } from '../registry/reference.js';
import type { Call } from '../runtime/call.js';
import { checkOwnRuntime } from '../runtime/runtime.js';
import type { NewBlob } from '../store/blobs.js';
import { openFd } from '../store/files.js';
import type { Digest } from '../store/images.js';
import { configOfContainer, planConfig, type AskedOfContainer } from './commit-config.js';
import { encodeDiff, rootOf } from './encode-diff.js';
import type { FullConfig } from './instructions.js';
import { beginReading } from './readings.js';
import { whileStill } from './still.js';
import type { Supervised } from './supervise.js';

export interface CommitOptions extends Call {
  /** A name for the image; who has it loses it. @defaultValue none */
  reference?: string;
  /** Shown by `Image.history()` as its comment. */
  message?: string;
  author?: string;
  /**
   * Pauses it while it is read, so that what is read is of one moment. @defaultValue `true`. Where there is no cgroup to
   * freeze this is `ERR_UNSUPPORTED` for one that runs.
   */
  pause?: boolean;
  /**
   * Lines as a Dockerfile has them: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME,
   * WORKDIR. They stand over `config`.
   */
  changes?: string[];
  /** Stands over how the container was run; `Env`, `Labels`, `ExposedPorts` and `Volumes` are added to its own. */
  config?: ImageConfig;
}

interface CommitRequest {
  readonly name: string | undefined;
  readonly comment: string;
  readonly author: string;
  readonly pause: boolean;
  readonly lines: readonly string[];
  readonly config: ImageConfig;
  readonly signal: AbortSignal | undefined;
}

const KEYS: ReadonlySet<string> = new Set([
  ...['runtime', 'signal', 'reference', 'message', 'author', 'pause', 'changes', 'config'],
]);

function parseCommit(core: Supervised, value: unknown): CommitRequest {
  const options = value === undefined ? {} : checkBag(value, 'options', KEYS);
  checkOwnRuntime(options['runtime'], core.parts);
  const { reference, changes } = options;
  return {
    name:
      reference === undefined
        ? undefined
        : parseReference(checkName(reference, 'reference'), 'reference'),
    comment: checkString(options['message'] ?? '', 'message'),
    author: checkString(options['author'] ?? '', 'author'),
    pause: checkBoolean(options['pause'] ?? true, 'pause'),
    lines:
      changes === undefined
        ? []
        : checkArray(changes, 'changes').map((one, i) => checkString(one, `changes[${i}]`)),
    config: parseImageConfig(options['config']),
    signal: checkSignal(options['signal'], 'signal'),
  };
}

/** An image of what it is made from and, as one more layer, what it has written. */
export async function commitContainer(core: Supervised, options: unknown): Promise<ImageRecord> {
  const request = parseCommit(core, options);
  throwIfAborted(request.signal);
  const { parts } = core;
  const { image } = core.config;
  if (image.startsWith('host:')) {
    throw new CaissonError('ERR_UNSUPPORTED', {
      what: 'commit() of a container of Image.host()',
      reason: 'what lies below its changes is this machine itself, which is no image',
    });
  }
  const reading = beginReading(core, 'commit', request.signal);
  const work = commit(core, image as Digest, request, reading.signal);
  try {
    const record = await parts.supervisor.keepAlive(work);
    parts.emit({ type: 'image.commit', id: record.id, time: new Date() });
    return record;
  } catch (error) {
    throw reading.explain(error);
  } finally {
    reading.end();
  }
}

async function commit(
  core: Supervised,
  image: Digest,
  request: CommitRequest,
  signal: AbortSignal,
): Promise<ImageRecord> {
  const { parts } = core;
  const parent = await Parent.hold(parts, image);
  try {
    const asked = core.config.options as AskedOfContainer;
    const own = configOfContainer(asked, parent.record.config);
    const config = planConfig({ ...healthAndTriggers(parent), ...own }, request);
    const archive = await parts.store.images.blobs.begin();
    try {
      const how = request.pause ? 'paused' : 'running';
      const written = await whileStill(core, how, 'container.commit()', signal, () =>
        writeArchive(core, archive, signal),
      );
      return await parent.commit({
        config: { ...parent.config, ...complete(config) },
        createdBy: own.Cmd?.join(' ') ?? '',
        comment: request.comment,
        author: request.author,
        names: request.name === undefined ? [] : [request.name],
        archive: written,
        signal,
      });
    } finally {
      await archive.discard();
    }
  } finally {
    parent.release();
  }
}

/** Undefined: nothing is different, and Docker makes no layer either. */
async function writeArchive(
  core: Supervised,
  { path }: NewBlob,
  signal: AbortSignal,
): Promise<{ readonly path: string; readonly size: number } | undefined> {
  const { parts } = core;
  const context = { action: 'commit', container: core.name, pathOf: (): string => parts.root };
  const body = encodeDiff(core, rootOf(core), DiffForm.layer);
  const fd = await openFd(path, 'r+');
  const done = await parts.supervisor.request(Type.diff, body, context, signal, [fd]);
  if (done.number(Tag.exportEntries) === 0) return undefined;
  return { path, size: done.number(Tag.importTarBytes) ?? 0 };
}

/** What is nowhere else in the configuration of the parent. */
function healthAndTriggers({ config }: Parent): Pick<FullConfig, 'Healthcheck' | 'OnBuild'> {
  const { Healthcheck, OnBuild } = config as FullConfig;
  return {
    ...(Healthcheck === undefined ? {} : { Healthcheck }),
    ...(Array.isArray(OnBuild) ? { OnBuild } : {}),
  };
}

const NAMES = [
  'User',
  'ExposedPorts',
  'Env',
  'Entrypoint',
  'Cmd',
  'Volumes',
  'WorkingDir',
  'Labels',
  'StopSignal',
  'Healthcheck',
  'OnBuild',
] as const;

/** With every name: undefined, and so not written, where there is nothing to say. */
function complete(config: FullConfig): Record<string, unknown> {
  const isEmpty = (value: unknown): boolean =>
    typeof value === 'object' && value !== null && Object.keys(value).length === 0;
  return Object.fromEntries(
    NAMES.map((name) => [name, isEmpty(config[name]) ? undefined : config[name]]),
  );
}

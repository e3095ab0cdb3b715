import { CaissonError, type KernelFailure } from '../errors/index.js';
import { remedyOf } from '../host/remedies.js';
import { kernelFailure, readFailed, systemError, type Failed } from '../native/failure.js';
import { PROTOCOL_VERSION, Tag, Type, type CgroupMode } from '../native/protocol.js';
import type { StepName } from '../native/steps.js';
import { FieldWriter, type FieldReader } from '../native/wire.js';
import type { SupervisorFacts, SupervisorOptions } from './supervisor-types.js';

export const helloBody = (): Uint8Array =>
  new FieldWriter(64).u64(Tag.version, PROTOCOL_VERSION).bytes();

/** Neither part may be of another version than this library. */
export function checkVersion(found: number): void {
  if (found === PROTOCOL_VERSION) return;
  throw new CaissonError('ERR_PROTOCOL_MISMATCH', { expected: PROTOCOL_VERSION, found });
}

/** What a namespace has that maps all: the last number means none to the kernel. */
const ALL_IDS = 2 ** 32 - 1;

/** What the supervisor answers to Hello: what it is, or why there is none. */
export function readWelcome(
  { type, fields }: { readonly type: number; readonly fields: FieldReader },
  bootstrapPid: number,
): SupervisorFacts {
  if (type === Type.failed) throw startError(readFailed(fields));
  checkVersion(type === Type.welcome ? (fields.number(Tag.version) ?? 0) : 0);
  return {
    cgroupMode: (fields.number(Tag.cgroupMode) ?? 0) as CgroupMode,
    controls: fields.number(Tag.controls) ?? 0,
    supervisorPid: fields.number(Tag.supervisorPid) ?? -1,
    bootstrapPid: fields.number(Tag.bootstrapPid) ?? bootstrapPid,
    handPids: fields.numbers(Tag.handPid),
    mappedUids: fields.number(Tag.mappedUids) || ALL_IDS,
    mappedGids: fields.number(Tag.mappedGids) || ALL_IDS,
  };
}

/** A folder that is full is not the supervisor's fault: said as everywhere. */
function startError(failed: Failed): CaissonError {
  const details = kernelFailure(failed, failed.detail);
  const { step, errno, path } = details;
  const cause = systemError(failed.errno, failed.syscall, path);
  if (path !== undefined && WRITES.has(step) && (errno === 'ENOSPC' || errno === 'EDQUOT')) {
    return new CaissonError('ERR_STORE_FULL', { path, errno }, { cause });
  }
  return new CaissonError('ERR_SUPERVISOR_START', details, { cause, ...maskedHint(details) });
}

/** A user namespace gets a procfs and a sysfs of its own only where whole ones are in sight. */
function maskedHint({ step, errno, path }: KernelFailure): { readonly hint?: string } {
  if (step !== 'slimRoot' || errno !== 'EPERM' || (path !== 'proc' && path !== 'sys')) return {};
  const cause = path === 'proc' ? 'masked-proc' : 'masked-sysfs';
  return { hint: remedyOf('namespaces', cause) };
}

const WRITES: ReadonlySet<string> = new Set<StepName>(['store', 'runFolder', 'journal']);

/** A start that the kernel refused, as an error that says so. */
export function orStartError<T>({ executable }: SupervisorOptions, start: () => T): T {
  try {
    return start();
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (code === undefined || syscall === undefined) throw error;
    const details = { step: 'spawn', errno: code, syscall, path: executable };
    throw new CaissonError('ERR_SUPERVISOR_START', details, { cause: error });
  }
}

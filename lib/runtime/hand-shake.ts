import { CaissonError } from '../errors/index.js';
import { kernelFailure, readFailed } from '../native/failure.js';
import { PROTOCOL_VERSION, Tag, Type, type CgroupMode } from '../native/protocol.js';
import { FieldWriter, type FieldReader } from '../native/wire.js';
import type { SupervisorFacts, SupervisorOptions } from './supervisor-types.js';

export const helloBody = (): Uint8Array =>
  new FieldWriter(64).u64(Tag.version, PROTOCOL_VERSION).bytes();

/** Neither part may be of another version than this library. */
export function checkVersion(found: number): void {
  if (found === PROTOCOL_VERSION) return;
  throw new CaissonError('ERR_PROTOCOL_MISMATCH', { expected: PROTOCOL_VERSION, found });
}

/** What the supervisor answers to Hello: what it is, or why there is none. */
export function readWelcome(
  { type, fields }: { readonly type: number; readonly fields: FieldReader },
  bootstrapPid: number,
): SupervisorFacts {
  if (type === Type.failed) {
    const failed = readFailed(fields);
    throw new CaissonError('ERR_SUPERVISOR_START', kernelFailure(failed, failed.detail));
  }
  checkVersion(type === Type.welcome ? (fields.number(Tag.version) ?? 0) : 0);
  return {
    cgroupMode: (fields.number(Tag.cgroupMode) ?? 0) as CgroupMode,
    supervisorPid: fields.number(Tag.supervisorPid) ?? -1,
    bootstrapPid: fields.number(Tag.bootstrapPid) ?? bootstrapPid,
    handPids: fields.numbers(Tag.handPid),
  };
}

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

import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import { CaissonError, type KernelFailure } from '../errors/index.js';
import { unmapped } from '../errors/unmapped.js';
import { Control, Tag } from './protocol.js';
import { STEPS, type StepName } from './steps.js';
import type { FieldReader } from './wire.js';

/** A Failed message: which step, which errno, which item of the plan. */
export interface Failed {
  readonly step: StepName;
  readonly syscall: string;
  /** Positive, as in errno.h. */
  readonly errno: number;
  readonly index: number;
  readonly detail: string | undefined;
}

/** What the caller knows about a failed request, so that the error can say it. */
export interface FailureContext {
  /** What was being done, as in `cannot <action>`. */
  readonly action: string;
  /** The container's name, where it is about one. */
  readonly container?: string;
  /** Of a process that is being started; absent for every other request. */
  readonly argv0?: string;
  /** The PATH that was searched for a plain name. */
  readonly searched?: string;
  readonly user?: string;
  /** The path (or name) that item `index` of the plan is about. */
  readonly pathOf?: (step: StepName, index: number) => string | undefined;
}

export function readFailed(fields: FieldReader): Failed {
  const step = STEPS[fields.number(Tag.step) ?? 0] ?? STEPS[0];
  return {
    step: step.name,
    syscall: step.syscall,
    errno: fields.number(Tag.errno) ?? 0,
    index: fields.number(Tag.index) ?? 0,
    detail: fields.string(Tag.detail) || undefined,
  };
}

/** Steps that write to the store: there, no space left means the store is full. */
const WRITES_TO_STORE: ReadonlySet<StepName> = new Set<StepName>([
  'store',
  'journal',
  'scratchFolder',
  'overlay',
  'mountTarget',
  'workdir',
  'log',
  'import',
  'importTarget',
  'importCopy',
  'importAttributes',
  'unpackWrite',
  'settle',
  'export', // of a container, to be its image
]);

/** Steps that go through a list of the plan: there, the index means something. */
const HAS_ITEMS: ReadonlySet<StepName> = new Set<StepName>([
  'bindSource',
  'mountTarget',
  'mount',
  'devices',
  'files',
  'maskedPath',
  'readOnlyPath',
  'sysctl',
  'rlimit',
]);

/** What a refused limit was called when it was asked for. */
const LIMITS: ReadonlyMap<number, string> = new Map(
  Object.entries({
    memoryBytes: [Tag.memoryLimit],
    memorySwapBytes: [Tag.memorySwap],
    memoryReservationBytes: [Tag.memoryReservation],
    cpus: [Tag.cpuQuota, Tag.cpuPeriod],
    cpuShares: [Tag.cpuShares, Tag.cpuWeight],
    cpusetCpus: [Tag.cpusetCpus],
    cpusetMems: [Tag.cpusetMems],
    pids: [Tag.pidsLimit],
    io: [Tag.ioDevice, Tag.ioWeight],
    hugepages: [Tag.hugepage],
  }).flatMap(([limit, tags]) => tags.map((tag): [number, string] => [tag, `limits.${limit}`])),
);

/** By the index of a failed `label`: addon/child/label.cc. */
const NO_PROFILE = {
  what: 'security.apparmor',
  reason: 'AppArmor does not take it: it is not loaded, or this program may not change to it',
  hint: 'Load it: sudo apparmor_parser -r /etc/apparmor.d/…',
};
const NO_LABEL = {
  what: 'security.selinux',
  reason: 'SELinux does not take it: the policy has no such label, or lets this program not set it',
  hint: 'Look what it denies: sudo ausearch -m avc -ts recent',
};

const ABOUT_USERS: ReadonlySet<StepName> = new Set<StepName>(['user', 'groups']);

/** The error a user sees for a Failed message. */
export function failureToError(failed: Failed, context: FailureContext): CaissonError {
  const name = errnoName(failed.errno);
  const path = context.pathOf?.(failed.step, failed.index);
  const cause = systemError(failed.errno, failed.syscall, path);
  const command = context.argv0 ?? '';

  if (failed.step === 'handLost') {
    return new CaissonError('ERR_HAND_LOST', { action: context.action }, { cause });
  }
  if (failed.step === 'notRunning') {
    const state = name === 'EBUSY' ? 'paused' : 'exited';
    const details = { container: context.container ?? '', action: context.action, state };
    return new CaissonError('ERR_CONTAINER_NOT_RUNNING', details, { cause });
  }
  if (failed.step === 'shareNamespace' && name === 'ESRCH') {
    const details = { container: path ?? '', action: 'share a namespace of', state: 'exited' };
    return new CaissonError('ERR_CONTAINER_NOT_RUNNING', details, { cause });
  }
  if (failed.step === 'parse' && failed.index === Tag.arg && name === 'ENAMETOOLONG') {
    // No file can have that name.
    const searched = command.includes('/') ? '' : (context.searched ?? '');
    return new CaissonError('ERR_COMMAND_NOT_FOUND', { command, searched }, { cause });
  }
  if (failed.step === 'protocol' || failed.step === 'parse') {
    const field = Object.entries(Tag).find(([, tag]) => tag === failed.index)?.[0];
    const reason = [failed.step, name, failed.detail ?? field].filter(Boolean).join(' ');
    return new CaissonError('ERR_REQUEST_REFUSED', { reason }, { cause });
  }
  if (failed.step === 'findExecutable' || failed.step === 'exec') {
    const error = commandError(failed, name, command, context.searched ?? '', cause);
    if (error !== undefined) return error;
  }
  if (failed.step === 'outOfMemory') {
    return new CaissonError('ERR_LIMIT_TOO_SMALL', { limit: 'limits.memoryBytes' }, { cause });
  }
  if (failed.step === 'cgroupLimit') {
    const details = { limit: LIMITS.get(failed.index) ?? 'limits', errno: name };
    return new CaissonError('ERR_LIMIT_REFUSED', details, { cause, ...hintOfLimit(failed, name) });
  }
  if (failed.step === 'cgroupParent') return notHandedDown(failed.index, cause);
  const refusal = unmappedOf(failed, name, context, cause);
  if (refusal !== undefined) return refusal;
  if (failed.step === 'mapMount') return unmappable(path, cause);
  if (failed.step === 'label') {
    const { what, reason, hint } = failed.index === 0 ? NO_PROFILE : NO_LABEL;
    return new CaissonError('ERR_UNSUPPORTED', { what, reason }, { cause, hint });
  }
  if (failed.step === 'sysctl' && (name === 'EACCES' || name === 'EPERM')) {
    const reason = 'this kernel lets only root of the machine set it';
    const hint = 'Start the program as root, or leave it out.';
    const what = `sysctl ${JSON.stringify(path ?? '')}`;
    return new CaissonError('ERR_UNSUPPORTED', { what, reason }, { cause, hint });
  }
  if (ABOUT_USERS.has(failed.step) && (name === 'ENOENT' || name === 'EINVAL')) {
    const details = {
      user: context.user ?? '',
      ...(failed.detail === undefined || failed.detail === context.user
        ? {}
        : { reason: failed.detail }),
    };
    return new CaissonError('ERR_USER_NOT_FOUND', details, { cause });
  }
  if ((name === 'ENOSPC' || name === 'EDQUOT') && WRITES_TO_STORE.has(failed.step)) {
    return new CaissonError('ERR_STORE_FULL', { path: path ?? '', errno: name }, { cause });
  }
  const details = kernelFailure(failed, path);
  const { action } = context;
  if (context.argv0 === undefined) {
    return new CaissonError('ERR_REQUEST_FAILED', { ...details, action }, { cause });
  }
  return new CaissonError('ERR_LAUNCH_FAILED', details, { cause, ...hintOf(failed, name) });
}

/** The details of any kernel failure. */
export function kernelFailure(failed: Failed, path: string | undefined): KernelFailure {
  return {
    step: failed.step,
    errno: errnoName(failed.errno),
    syscall: failed.syscall,
    ...(HAS_ITEMS.has(failed.step) ? { index: failed.index } : {}),
    ...(path === undefined ? {} : { path }),
    ...(failed.detail === undefined || failed.detail === path ? {} : { detail: failed.detail }),
  };
}

/** Of `Control` bits that the machine has, but not the group that was named as the parent. */
function notHandedDown(controls: number, cause: Error): CaissonError {
  const names = Object.entries(Control).flatMap(([name, bit]) =>
    (controls & bit) === 0 ? [] : [name],
  );
  return new CaissonError(
    'ERR_UNSUPPORTED',
    {
      what: 'limits below this cgroupParent',
      reason: `the group hands no controller down for ${names.join(', ')}`,
    },
    {
      cause,
      hint:
        'On cgroup v2 a group that has processes itself, or is below one that has, cannot: ' +
        'move them to a group beside, or name another parent.',
    },
  );
}

function unmappable(path: string | undefined, cause: Error): CaissonError {
  const where = path === undefined ? 'of the image' : `at ${JSON.stringify(path)}`;
  const what = `to show the files ${where} with the ids of security.userns`;
  const reason = 'this kernel, or the file system that they are on, has no mounts with mapped ids';
  const hint =
    'Image layers need Linux 5.19, and a `root` of Runtime.open() on ext4, xfs or btrfs (tmpfs from 6.3); bind mounts ' +
    'can do without: leave `idmap` out. Image.host() needs it of the file systems that it shows: import a folder instead.';
  return new CaissonError('ERR_UNSUPPORTED', { what, reason }, { cause, hint });
}

/** What the kernel says of an id that the user namespace does not have; with one group, setgroups(2) is shut. */
function unmappedOf(
  failed: Failed,
  errno: string,
  context: FailureContext,
  cause: Error,
): CaissonError | undefined {
  if (failed.step === 'credentials' && errno === 'EINVAL') {
    return unmapped(`user ${JSON.stringify(context.user ?? '')}`, cause);
  }
  if (failed.step === 'groups' && (errno === 'EPERM' || errno === 'EINVAL')) {
    const asked = failed.detail === undefined ? 'the groups of' : 'groupAdd';
    return unmapped(`${asked} ${JSON.stringify(failed.detail ?? context.user ?? '')}`, cause);
  }
  return undefined;
}

function commandError(
  failed: Failed,
  name: string,
  command: string,
  searched: string,
  cause: Error,
): CaissonError | undefined {
  switch (name) {
    case 'ENOENT':
    case 'ENOTDIR':
      // The file was found before: what is missing is what the file itself names.
      if (failed.step === 'exec') {
        return new CaissonError('ERR_INTERPRETER_NOT_FOUND', { command }, { cause });
      }
      return new CaissonError(
        'ERR_COMMAND_NOT_FOUND',
        { command, searched: command.includes('/') ? '' : searched },
        { cause },
      );
    case 'EACCES':
    case 'EPERM':
    case 'EISDIR':
      return new CaissonError('ERR_COMMAND_NOT_EXECUTABLE', { command, errno: name }, { cause });
    case 'ENOEXEC':
    case 'ELIBBAD':
      return new CaissonError('ERR_EXEC_FORMAT', { command }, { cause });
    default:
      return undefined;
  }
}

function hintOfLimit({ index }: Failed, errno: string): { hint?: string } {
  if (index === Tag.cpusetCpus || index === Tag.cpusetMems) {
    return { hint: 'It must name some that this machine, or the group above, has.' };
  }
  if (index === Tag.ioDevice && errno === 'ENODEV') {
    return { hint: 'A whole disk can be limited, a partition cannot.' };
  }
  if (index === Tag.cpuQuota && errno === 'EINVAL') {
    return { hint: 'A group above may have less.' };
  }
  return {};
}

function hintOf(failed: Failed, errno: string): { hint?: string } {
  if (failed.step === 'overlay') {
    return {
      hint:
        'The file system of the store may not carry an overlay (another overlay, NFS, or no user ' +
        'xattrs for an ordinary user): give Runtime.open() a `root` on ext4, xfs, btrfs or tmpfs.',
    };
  }
  if (failed.step === 'bindSource' && errno === 'ENOENT') {
    return { hint: 'The source of a bind mount must exist on this machine.' };
  }
  if (errno === 'ENOSPC' || errno === 'EUSERS') {
    return { hint: 'A limit below /proc/sys/user (max_*_namespaces) was reached.' };
  }
  if (errno === 'E2BIG') {
    return {
      hint: 'execve(2) takes at most 128 KiB a string, and argv and env must fit the stack limit.',
    };
  }
  if (errno === 'EPERM' || errno === 'ENOSYS') {
    return { hint: 'Runtime.check() says what this machine forbids or lacks.' };
  }
  return {};
}

// Those of os.constants.errno too: libuv's own table lacks some that a launch meets (ENOEXEC).
const ERRNO_NAMES = new Map(Object.entries(constants.errno).map(([name, errno]) => [errno, name]));

/** `'EPERM'` for 1; a number nobody knows stays a number. */
export function errnoName(errno: number): string {
  return getSystemErrorMap().get(-errno)?.[0] ?? ERRNO_NAMES.get(errno) ?? `errno ${errno}`;
}

/** An error as Node's own fs makes them: `code`, `errno` (negative), `syscall`, `path`. */
export function systemError(errno: number, syscall: string, path?: string): NodeJS.ErrnoException {
  const code = errnoName(errno);
  const text = getSystemErrorMap().get(-errno)?.[1] ?? 'unknown error';
  const about = path === undefined ? '' : ` ${JSON.stringify(path)}`;
  const error: NodeJS.ErrnoException = new Error(`${code}: ${text}, ${syscall}${about}`);
  error.code = code;
  error.errno = -errno;
  error.syscall = syscall;
  if (path !== undefined) error.path = path;
  return error;
}

import { expect, test } from 'vitest';
import { pathOfItem } from '../../../lib/container/failure-paths.js';
import { planContainer } from '../../../lib/container/plan.js';
import { parseContainer } from '../../../lib/container/request.js';
import { failureToError, readFailed, type Failed } from '../../../lib/native/failure.js';
import { Tag } from '../../../lib/native/protocol.js';
import { STEPS, type StepName } from '../../../lib/native/steps.js';
import { FieldReader, FieldWriter } from '../../../lib/native/wire.js';
import { PLAN_HOST } from '../../helpers/plan-host.js';

const plan = planContainer(
  parseContainer({
    image: 'x',
    argv: ['prog', 'a'],
    user: 'bob',
    mounts: [{ type: 'bind', source: '/src', target: '/dst' }],
  }),
  { id: 'sha256:0', layers: ['layers/skeleton'], config: {}, mounts: [] },
  PLAN_HOST,
  'f'.repeat(64),
);
const bind = plan.oci.mounts.findIndex(({ destination }) => destination === '/dst');

function failed(step: StepName, errno: number, index = 0, detail = ''): Failed {
  const body = new FieldWriter(64)
    .u64(
      Tag.step,
      STEPS.findIndex(({ name }) => name === step),
    )
    .u64(Tag.errno, errno)
    .u64(Tag.index, index)
    .string(Tag.detail, detail);
  return readFailed(new FieldReader(body.bytes()));
}

const EPERM = 1;
const ENOENT = 2;
const ENOEXEC = 8;
const EACCES = 13;
const ENOTDIR = 20;
const EINVAL = 22;
const ENOSPC = 28;
const ENAMETOOLONG = 36;
const ENOSYS = 38;
const EDQUOT = 122;

const context = {
  action: 'start',
  container: 'box',
  argv0: 'prog',
  searched: '/bin',
  user: 'bob',
  pathOf: (step: StepName, index: number) => pathOfItem(plan, step, index),
};

test.each<[Failed, string, object]>([
  [
    failed('findExecutable', ENOENT),
    'ERR_COMMAND_NOT_FOUND',
    { command: 'prog', searched: '/bin' },
  ],
  [failed('findExecutable', ENOTDIR), 'ERR_COMMAND_NOT_FOUND', { command: 'prog' }],
  [failed('parse', ENAMETOOLONG, Tag.arg), 'ERR_COMMAND_NOT_FOUND', { command: 'prog' }],
  [failed('findExecutable', EACCES), 'ERR_COMMAND_NOT_EXECUTABLE', { errno: 'EACCES' }],
  [failed('exec', EACCES), 'ERR_COMMAND_NOT_EXECUTABLE', { command: 'prog' }],
  [failed('exec', ENOEXEC), 'ERR_EXEC_FORMAT', { command: 'prog' }],
  [failed('exec', ENOENT), 'ERR_INTERPRETER_NOT_FOUND', { command: 'prog' }],
  [failed('user', ENOENT, 0, 'bob'), 'ERR_USER_NOT_FOUND', { user: 'bob' }],
  [failed('groups', ENOENT, 0, 'g'), 'ERR_USER_NOT_FOUND', { user: 'bob', reason: 'g' }],
  [failed('credentials', EINVAL), 'ERR_UNSUPPORTED', { what: 'user "bob"' }],
  [failed('groups', EPERM, 0, 'g'), 'ERR_UNSUPPORTED', { what: 'groupAdd "g"' }],
  [failed('handLost', ENOENT), 'ERR_HAND_LOST', { action: 'start' }],
  [failed('notRunning', ENOENT), 'ERR_CONTAINER_NOT_RUNNING', { container: 'box' }],
  [failed('protocol', EINVAL), 'ERR_REQUEST_REFUSED', {}],
  [
    failed('parse', EINVAL, Tag.mountTarget),
    'ERR_REQUEST_REFUSED',
    { reason: 'parse EINVAL mountTarget' },
  ],
  [failed('scratchFolder', ENOSPC), 'ERR_STORE_FULL', { errno: 'ENOSPC' }],
  [failed('importCopy', EDQUOT), 'ERR_STORE_FULL', { errno: 'EDQUOT' }],
  [
    failed('bindSource', ENOENT, bind),
    'ERR_LAUNCH_FAILED',
    { step: 'bindSource', errno: 'ENOENT', syscall: 'open_tree', path: '/src', index: bind },
  ],
  [failed('mountTarget', ENOTDIR, bind), 'ERR_LAUNCH_FAILED', { path: '/dst', index: bind }],
  [failed('files', EACCES, 1), 'ERR_LAUNCH_FAILED', { path: '/etc/hosts' }],
  [failed('overlay', EINVAL, 0, 'overlay: no'), 'ERR_LAUNCH_FAILED', { detail: 'overlay: no' }],
  [failed('clone', ENOSPC), 'ERR_LAUNCH_FAILED', { step: 'clone', errno: 'ENOSPC' }],
  [failed('clone', ENOSYS), 'ERR_LAUNCH_FAILED', { errno: 'ENOSYS' }],
  [failed('workdir', ENOTDIR), 'ERR_LAUNCH_FAILED', { path: '/' }],
])('%j', (message, code, details) => {
  const error = failureToError(message, context);
  expect(error.code).toBe(code);
  expect(error.details).toMatchObject(details);
});

test('the folder of an exec is its own', () => {
  expect(pathOfItem(plan, 'workdir', 0, '/asked')).toBe('/asked');
  expect(pathOfItem(plan, 'workdir', 0)).toBe('/');
});

test('the cause is a system error as Node makes them', () => {
  const { cause, details } = failureToError(failed('bindSource', ENOENT, bind), context);
  expect(cause).toMatchObject({
    code: 'ENOENT',
    errno: -2,
    syscall: 'open_tree',
    path: '/src',
    message: 'ENOENT: no such file or directory, open_tree "/src"',
  });
  // An index says something only where there is a list.
  expect(failureToError(failed('clone', EPERM, 3), context).details).not.toHaveProperty('index');
  expect(details).toHaveProperty('index');
});

test('what nobody has a name for stays a number', () => {
  expect(failureToError(failed('clone', 3333), context).details).toMatchObject({
    errno: 'errno 3333',
  });
  const strange = new FieldWriter(32).u64(Tag.step, 9999).bytes();
  expect(readFailed(new FieldReader(strange)).step).toBe('none');
});

test.each([
  [Tag.memoryLimit, 'limits.memoryBytes'],
  [Tag.cpuQuota, 'limits.cpus'],
  [Tag.cpusetCpus, 'limits.cpusetCpus'],
  [Tag.ioDevice, 'limits.io'],
])('a refused limit is named as it was asked for: tag %i', (tag, limit) => {
  const error = failureToError(failed('cgroupLimit', 34, tag), { action: 'run', argv0: 'x' });
  expect(error).toMatchObject({ code: 'ERR_LIMIT_REFUSED', details: { limit, errno: 'ERANGE' } });
});

test('no memory for the start itself', () => {
  const error = failureToError(failed('outOfMemory', 12), { action: 'run', argv0: 'x' });
  expect(error).toMatchObject({ code: 'ERR_LIMIT_TOO_SMALL' });
});

import type { Readable, Writable } from 'node:stream';
import { describe, expectTypeOf, test } from 'vitest';

import { CaissonError, Container, Ready, Runtime } from '../../lib/index.js';
import type {
  ContainerInfo,
  ContainerOptions,
  ErrorCode,
  ExecResult,
  ExitInfo,
  FsChange,
  HostReport,
  Process,
  RunOptions,
  ExecError,
  Image,
} from '../../lib/index.js';

declare const image: Image;
declare const box: Container;
declare const runtime: Runtime;
declare const error: unknown;

describe('output follows the encoding', () => {
  test('run', () => {
    expectTypeOf(Container.run(image, ['true'])).resolves.toEqualTypeOf<ExecResult>();
    expectTypeOf(Container.run('x')).resolves.toHaveProperty('stdout').toEqualTypeOf<string>();
    expectTypeOf(Container.run('x', [], { encoding: 'buffer' }))
      .resolves.toHaveProperty('stdout')
      .toEqualTypeOf<Buffer>();
  });

  test('exec and sh', () => {
    expectTypeOf(box.exec(['true']))
      .resolves.toHaveProperty('stderr')
      .toEqualTypeOf<string>();
    expectTypeOf(box.exec(['true'], { encoding: 'buffer' }))
      .resolves.toHaveProperty('stderr')
      .toEqualTypeOf<Buffer>();
    expectTypeOf(box.sh`ls ${'x'}`).resolves.toEqualTypeOf<ExecResult>();
  });
});

test('what a run does not take', () => {
  expectTypeOf<RunOptions>().not.toHaveProperty('image');
  expectTypeOf<RunOptions>().not.toHaveProperty('stdin');
  expectTypeOf<RunOptions>().not.toHaveProperty('tty');
  expectTypeOf<RunOptions>().not.toHaveProperty('privileged');
  expectTypeOf<RunOptions>().toHaveProperty('timeoutMs');
  // @ts-expect-error -- an unknown option
  void Container.run(image, ['true'], { timeout: 5 });
  // @ts-expect-error -- argv is an array
  void Container.run(image, 'ls -l');
  // @ts-expect-error -- an image is needed
  void Container.start({ argv: ['true'] });
  // @ts-expect-error -- a name is needed
  void Container.getOrCreate({ image });
});

test('handles', () => {
  expectTypeOf(Container.start({ image })).resolves.toEqualTypeOf<Container>();
  expectTypeOf(Container.create({ image })).resolves.toEqualTypeOf<Container>();
  expectTypeOf(Container.list()).resolves.toEqualTypeOf<Container[]>();
  expectTypeOf(box).toExtend<AsyncDisposable>();
  expectTypeOf(runtime).toExtend<AsyncDisposable>();
  expectTypeOf(box.id).toEqualTypeOf<string>();
  expectTypeOf(box.owned).toEqualTypeOf<boolean>();
  expectTypeOf(box.inspect()).resolves.toEqualTypeOf<ContainerInfo>();
  expectTypeOf(box.stop({ graceMs: 5, stopSignal: 'SIGINT' })).resolves.toEqualTypeOf<ExitInfo>();
  expectTypeOf(box.wait()).resolves.toEqualTypeOf<ExitInfo>();
  expectTypeOf(box.wait({ until: 'removed' })).resolves.toEqualTypeOf<ExitInfo | undefined>();
  expectTypeOf(box.changes()).resolves.toEqualTypeOf<FsChange[]>();
  expectTypeOf(
    box.commit({ changes: ['USER app'], config: { User: 'app' } }),
  ).resolves.toEqualTypeOf<Image>();
  expectTypeOf(box.export()).toEqualTypeOf<Readable>();
  expectTypeOf<FsChange['kind']>().toEqualTypeOf<'added' | 'modified' | 'deleted'>();
  // @ts-expect-error -- a list of lines
  void box.commit({ changes: 'USER app' });
  expectTypeOf(box.on('exit', () => undefined)).toEqualTypeOf<Container>();
  // @ts-expect-error -- no such event
  box.on('end', () => undefined);
});

test('processes', () => {
  expectTypeOf(box.spawn(['cat'])).resolves.toEqualTypeOf<Process>();
  expectTypeOf<Process['stdin']>().toEqualTypeOf<Writable | null>();
  expectTypeOf<Process['stdout']>().toEqualTypeOf<Readable>();
  expectTypeOf<Process['stderr']>().toEqualTypeOf<Readable | null>();
  expectTypeOf<Process['exited']>().resolves.toEqualTypeOf<ExitInfo>();
  expectTypeOf<ExitInfo['reason']>().toEqualTypeOf<
    'exited' | 'signaled' | 'oom' | 'timeout' | 'aborted' | 'killed' | 'lost'
  >();
});

test('errors narrow by code', () => {
  if (CaissonError.is(error, 'ERR_LAUNCH_FAILED')) {
    expectTypeOf(error.code).toEqualTypeOf<'ERR_LAUNCH_FAILED'>();
    expectTypeOf(error.details.step).toEqualTypeOf<string>();
    expectTypeOf(error.details.path).toEqualTypeOf<string | undefined>();
  }
  if (CaissonError.is(error)) expectTypeOf(error.code).toEqualTypeOf<ErrorCode>();
  // @ts-expect-error -- no such code
  CaissonError.is(error, 'ERR_NONESUCH');
  expectTypeOf<ExecError>().toExtend<CaissonError>();
});

test('the runtime', () => {
  expectTypeOf(Runtime.check()).resolves.toEqualTypeOf<HostReport>();
  expectTypeOf(runtime.containers.run(image, ['true'], { encoding: 'buffer' }))
    .resolves.toHaveProperty('stdout')
    .toEqualTypeOf<Buffer>();
  expectTypeOf<ContainerOptions['ready']>().toEqualTypeOf<Ready | undefined>();
  expectTypeOf(Ready.all([Ready.port(80), Ready.log(/x/)])).toEqualTypeOf<Ready>();
});

import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';

import type { Binding, FileLock } from '../../../lib/native/types.js';
import { Fake, loadBinding } from '../../helpers/fake.js';
import { needs } from '../../helpers/needs.js';

const { describe, test } = needs('binding');

// Everything that a value can be, to be handed in everywhere: a TypeError each time, never a crash.
const WRONG: readonly unknown[] = [
  undefined,
  null,
  true,
  -1,
  1.5,
  NaN,
  Infinity,
  2 ** 60,
  10n,
  'text',
  'nul\0inside',
  Symbol('s'),
  [],
  {},
  [-1],
  ['a'],
  Array.from({ length: 100 }, () => 0),
  new Float64Array(4),
  new DataView(new ArrayBuffer(8)),
  new ArrayBuffer(8),
  new Proxy({}, {}),
  Object.create(null),
  () => undefined,
];

/** `call` with each wrong value but those that are right here: a TypeError with Node's code. */
function refuses(call: (wrong: never) => unknown, isRight: (value: unknown) => boolean): void {
  for (const wrong of WRONG) {
    if (isRight(wrong)) continue;
    expect(() => call(wrong as never)).toThrow(
      expect.objectContaining({ name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' }),
    );
  }
}

const nothing = () => false;
const isFunction = (value: unknown) => typeof value === 'function';
const isListOfTexts = (value: unknown) =>
  Array.isArray(value) && value.every((item) => typeof item === 'string');
const isList = (value: unknown) => Array.isArray(value) && value.length === 0;

describe('wrong arguments', () => {
  let binding: Binding;
  let fake: Fake;
  let folder: string;
  let lock: FileLock;
  const bytes = new Uint8Array(8);

  beforeAll(async () => {
    binding = loadBinding();
    fake = new Fake();
    folder = mkdtempSync(join(tmpdir(), 'caisson-arguments-'));
    lock = (await binding.lock(join(folder, 'lock'), 'exclusive', false))!;
  });
  afterAll(async () => {
    await fake[Symbol.asyncDispose]();
    lock.release();
    rmSync(folder, { recursive: true });
  });

  test('of functions', () => {
    refuses((wrong) => binding.pidOf(wrong), nothing);
    refuses((wrong) => {
      binding.closeFd(wrong);
    }, nothing);
    refuses((wrong) => binding.pipe(wrong), nothing);
    refuses(
      (wrong) => binding.pipe('toChild', wrong),
      (value) => value === undefined,
    );
    refuses(
      (wrong) => binding.lock(wrong, 'shared', false),
      (value) => value === 'text',
    );
    refuses((wrong) => binding.lock(folder, wrong, false), nothing);
    refuses(
      (wrong) => binding.lock(folder, 'shared', wrong),
      (value) => value === true,
    );
  });

  test('of the constructor', () => {
    const { Channel } = binding;
    const none = () => undefined;
    const right = { supervisor: '/nowhere', args: [], onMessage: none, onClose: none };
    expect(() => (Channel as unknown as () => void)()).toThrow(TypeError);
    for (const wrong of WRONG) expect(() => new Channel(wrong as never)).toThrow(TypeError);
    for (const name of ['supervisor', 'args', 'onMessage', 'onClose'] as const) {
      for (const wrong of WRONG) {
        if (
          name === 'supervisor'
            ? wrong === 'text'
            : name === 'args'
              ? isListOfTexts(wrong)
              : isFunction(wrong)
        )
          continue;
        expect(() => new Channel({ ...right, [name]: wrong })).toThrow(TypeError);
      }
    }
    const throwing = { ...right, get args(): never { throw new RangeError('a getter') } }; // prettier-ignore
    expect(() => new Channel(throwing)).toThrow(RangeError);
  });

  test('of methods', () => {
    const { channel } = fake;
    const done = () => undefined;
    const send = (...args: unknown[]) => {
      channel.send(...(args as Parameters<typeof channel.send>));
    };
    const collect = (...args: unknown[]) => {
      channel.collect(...(args as Parameters<typeof channel.collect>));
    };
    refuses((wrong) => {
      send(wrong, 1, bytes, [], []);
    }, nothing);
    refuses((wrong) => {
      send(12, wrong, bytes, [], []);
    }, nothing);
    refuses((wrong) => {
      send(12, 1, wrong, [], []);
    }, nothing);
    refuses((wrong) => {
      send(12, 1, bytes, wrong, []);
    }, isList);
    refuses((wrong) => {
      send(12, 1, bytes, [], wrong);
    }, isList);
    refuses((wrong) => {
      collect(wrong, 1, bytes, null, 10, done);
    }, nothing);
    refuses((wrong) => {
      collect(2, wrong, bytes, null, 10, done);
    }, nothing);
    refuses((wrong) => {
      collect(2, 1, wrong, null, 10, done);
    }, nothing);
    refuses(
      (wrong) => {
        collect(2, 1, bytes, wrong, 10, done);
      },
      (value) => value === null,
    );
    refuses((wrong) => {
      collect(2, 1, bytes, null, wrong, done);
    }, nothing);
    refuses((wrong) => {
      collect(2, 1, bytes, null, 10, wrong);
    }, isFunction);
    refuses((wrong) => channel.abandon(wrong), nothing);
    expect(() => {
      channel.send(12, 1, new Uint8Array(33 * 1024 * 1024), [], []);
    }).toThrow(TypeError);
    expect(() => {
      channel.send(12, 1, bytes, [1_000_000], []);
    }).toThrow(/EBADF/);
  });

  test('of a Terminal', () => {
    const Terminal = binding.Terminal;
    const master = openSync('/dev/ptmx', constants.O_RDWR | constants.O_NOCTTY);
    const nobody = (): void => undefined;
    refuses((wrong) => new Terminal(wrong, nobody, nobody), nothing);
    refuses((wrong) => new Terminal(master, wrong, nobody), isFunction);
    refuses((wrong) => new Terminal(master, nobody, wrong), isFunction);
    expect(() => (Terminal as unknown as () => void)()).toThrow(TypeError);
    expect(() => new Terminal(1_000_000, nobody, nobody)).toThrow(/EBADF/);
    const terminal = new Terminal(master, nobody, nobody);
    closeSync(master); // it has its own
    refuses((wrong) => terminal.write(wrong), nothing);
    refuses(
      (wrong) => terminal.eof(wrong),
      (value) => value === -1,
    );
    refuses((wrong) => {
      terminal.resize(wrong, 1);
    }, nothing);
    refuses((wrong) => {
      terminal.resize(1, wrong);
    }, nothing);
    expect(terminal.eof(-1)).toEqual(Buffer.from([4]));
    expect(terminal.eof('\n'.charCodeAt(0))).toEqual(Buffer.from([4]));
    expect(terminal.eof(4)).toEqual(Buffer.from([4]));
    expect(terminal.eof(65)).toEqual(Buffer.from([4, 4]));
    terminal.close();
    terminal.close();
    terminal.resume();
    terminal.resize(1, 1);
    expect(terminal.write(Buffer.from('x'))).toBe(1);
    expect(terminal.eof(65)).toHaveLength(0);
    expect(terminal.finish()).toHaveLength(0);
    const prototype = Terminal.prototype as unknown as Record<string, () => void>;
    for (const name of ['resume', 'pause', 'write', 'eof', 'resize', 'finish', 'close']) {
      for (const self of [undefined, {}, fake.channel, Object.create(terminal)]) {
        expect(() => prototype[name]!.call(self)).toThrow(TypeError);
      }
    }
  });

  test('methods on what is no channel and no lock', () => {
    const { channel } = fake;
    const prototype = binding.Channel.prototype as unknown as Record<string, () => void>;
    for (const name of ['send', 'collect', 'abandon', 'close', 'ref', 'unref']) {
      for (const self of [undefined, {}, lock, binding.Channel, Object.create(channel)]) {
        expect(() => prototype[name]!.call(self)).toThrow(TypeError);
      }
    }
    for (const self of [undefined, {}, channel]) {
      expect(() => {
        lock.release.call(self as never);
      }).toThrow(TypeError);
    }
  });

  test('arguments that change everything while they are read', async () => {
    const other = new Fake();
    const hostile: number[] = [];
    Object.defineProperty(hostile, 0, {
      enumerable: true,
      get() {
        other.channel.close();
        structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
        return 0;
      },
    });
    other.channel.send(12, 1, bytes, hostile, []);
    await other.closed;
  });
});

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

import * as protocol from '../../../lib/native/protocol.js';
import { STEPS } from '../../../lib/native/steps.js';
import { repository } from '../../helpers/native.js';

const header = readFileSync(join(repository, 'addon', 'plan', 'protocol.h'), 'utf8');

/** The enumerators of `enum class NAME`, without their k: `{ version: 1, … }`. */
function enumerators(name: string): Record<string, number> {
  const block = new RegExp(`enum class ${name}[^{]*\\{([\\s\\S]*?)\\};`).exec(header)![1]!;
  const code = block.replaceAll(/\/\/.*/g, '');
  return Object.fromEntries(
    Array.from(code.matchAll(/k(\w)(\w*)\s*=\s*(\d+)/g), ([, first, rest, value]) => [
      first!.toLowerCase() + rest!,
      Number(value),
    ]),
  );
}

function constant(name: string): number {
  const value = new RegExp(`\\b${name}\\s*=\\s*([0-9 *]+);`).exec(header)![1]!;
  return value.split('*').reduce((product, factor) => product * Number(factor), 1);
}

describe('lib/native/ mirrors the headers of the native part', () => {
  test.for([
    'Type',
    'Tag',
    'StdioKind',
    'MountKind',
    'HookPoint',
    'SeccompPolicy',
    'Reason',
    'DiffForm',
    'CgroupMode',
    'Control',
    'DeviceAccess',
  ] as const)('protocol.h: %s', (name) => {
    expect({ ...protocol[name] }).toEqual(enumerators(name));
  });

  test('protocol.h: constants', () => {
    expect(protocol.PROTOCOL_VERSION).toBe(constant('kVersion'));
    expect(protocol.MAX_BODY_BYTES).toBe(constant('kMaxBody'));
    expect(header).toContain(`static_assert(sizeof(Header) == ${protocol.HEADER_BYTES})`);
  });

  test('no number is used twice', () => {
    for (const name of ['Type', 'Tag'] as const) {
      const numbers = Object.values(protocol[name]);
      expect(new Set<number>(numbers).size).toBe(numbers.length);
    }
  });

  test('failure.h: steps, in order', () => {
    const failure = readFileSync(join(repository, 'addon', 'base', 'failure.h'), 'utf8');
    const steps = Array.from(
      failure.matchAll(/^\s*X\((\w)(\w*),\s*"([^"]*)"\)/gm),
      ([, first, rest, syscall]) => ({ name: first!.toLowerCase() + rest!, syscall }),
    );
    expect([...STEPS]).toEqual(steps);
  });
});

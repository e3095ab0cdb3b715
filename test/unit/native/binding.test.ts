import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { expect } from 'vitest';

import { PROTOCOL_VERSION } from '../../../lib/native/protocol.js';
import { loadBinding } from '../../helpers/fake.js';
import { repository } from '../../helpers/native.js';
import { needs } from '../../helpers/needs.js';

const { describe, test } = needs('binding');

interface Member {
  readonly name: string;
  /** How many arguments a function takes; undefined for what is no function. */
  readonly arity: number | undefined;
}

/** The members of an interface of lib/native/types.ts. */
function declared(name: string): Member[] {
  const path = join(repository, 'lib', 'native', 'types.ts');
  const source = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest);
  const found = source.statements.find(
    (statement): statement is ts.InterfaceDeclaration =>
      ts.isInterfaceDeclaration(statement) && statement.name.text === name,
  );
  return found!.members.map((member) => {
    const constructor =
      ts.isPropertySignature(member) && member.type !== undefined
        ? ts.isConstructorTypeNode(member.type)
          ? member.type
          : undefined
        : undefined;
    const signature = ts.isMethodSignature(member) ? member : constructor;
    return { name: member.name!.getText(source), arity: signature?.parameters.length };
  });
}

function exported(object: object): Member[] {
  return Object.getOwnPropertyNames(object)
    .filter((name) => name !== 'constructor')
    .map((name) => {
      const value = (object as Record<string, unknown>)[name];
      return { name, arity: typeof value === 'function' ? value.length : undefined };
    });
}

const byName = (a: Member, b: Member) => a.name.localeCompare(b.name);

describe('the built addon is what lib/native/types.ts declares', () => {
  test('exports', () => {
    expect(exported(loadBinding()).sort(byName)).toEqual(declared('Binding').sort(byName));
    expect(loadBinding().protocolVersion).toBe(PROTOCOL_VERSION);
  });

  test('methods of Channel', () => {
    const methods = declared('Channel').filter(({ name }) => name !== 'pid');
    const prototype = loadBinding().Channel.prototype as object;
    expect(exported(prototype).sort(byName)).toEqual(methods.sort(byName));
  });

  test('methods of Terminal', () => {
    const prototype = loadBinding().Terminal.prototype as object;
    expect(exported(prototype).sort(byName)).toEqual(declared('NativeTerminal').sort(byName));
  });
});

import { expectTypeOf, test } from 'vitest';

import { CaissonError, Registry, RegistryError } from '../../lib/index.js';
import type { Auth, Digest, RegistryConfig, RegistryMessage, Runtime } from '../../lib/index.js';

declare const registry: Registry;
declare const runtime: Runtime;
declare const error: unknown;

test('credentials have one of three shapes', () => {
  expectTypeOf<{ username: string; password: string }>().toExtend<Auth>();
  expectTypeOf<{ token: string }>().toExtend<Auth>();
  expectTypeOf<{ identityToken: string }>().toExtend<Auth>();
  // @ts-expect-error half of one
  expectTypeOf<{ username: string }>().toExtend<Auth>();
});

test('a Registry has no mirrors, and a host of its own', () => {
  new Registry('r.example', { runtime });
  new Registry('r.example', { ca: 'PEM', auth: { token: 't' } });
  // @ts-expect-error mirrors are of a Runtime
  new Registry('r.example', { mirrors: [] });
  // @ts-expect-error there is no default host
  new Registry();
  expectTypeOf<RegistryConfig>().toHaveProperty('host').toEqualTypeOf<string>();
});

test('lists are iterated, documents are awaited', () => {
  expectTypeOf(registry.tags('a')).toExtend<AsyncIterable<string>>();
  expectTypeOf(registry.manifest('a')).resolves.toHaveProperty('digest').toEqualTypeOf<Digest>();
  expectTypeOf(registry.manifest('a')).resolves.toHaveProperty('document').toBeUnknown();
  expectTypeOf(registry.login({ username: 'u', password: 'p' })).resolves.toEqualTypeOf<string>();
});

test('a refusal has the messages of the answer', () => {
  if (error instanceof RegistryError) {
    expectTypeOf(error.status).toEqualTypeOf<number>();
    expectTypeOf(error.errors).toEqualTypeOf<readonly RegistryMessage[]>();
  }
  if (CaissonError.is(error, 'ERR_REGISTRY_DENIED')) {
    expectTypeOf(error.details.registry).toEqualTypeOf<string>();
  }
  if (CaissonError.is(error, 'ERR_PLATFORM_NOT_FOUND')) {
    expectTypeOf(error.details.available).toEqualTypeOf<readonly string[]>();
  }
});

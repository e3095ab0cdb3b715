import { afterEach, beforeEach } from 'vitest';

import { findIdHelpers } from '../../lib/host/subordinate-ids.js';
import { Container, Image, Runtime } from '../../lib/index.js';
import type { ContainerOptions, ExecResult, RunOptions, RuntimeOptions } from '../../lib/index.js';
import { checkLeaks } from './leak.js';
import { tempStore, type TempStore } from './temp.js';

export const rootless = process.getuid?.() !== 0;
/** An ordinary user whose containers have root and nobody else. */
export const oneId = rootless && Object.keys(findIdHelpers()).length < 2;

/** What each test of a file finds: a Runtime on a store of its own. */
export interface TestRuntime {
  readonly runtime: Runtime;
  readonly store: TempStore;
  /** This machine's own programs. */
  readonly image: Image;
  /** A container that only sleeps, for others to be run in. */
  sleeper(options?: Partial<ContainerOptions>): Promise<Container>;
  /** Runs a line of shell in a container. */
  readonly sh: (
    line: string,
    options?: RunOptions | Partial<ContainerOptions>,
  ) => Promise<ExecResult>;
}

/**
 * Opened before and closed after each test, with the leak check around both: what a living Runtime keeps
 * prepared for later is no leak, what is there after it is one.
 */
export function testRuntime(options: Partial<RuntimeOptions> = {}): TestRuntime {
  let runtime: Runtime;
  let store: TempStore;
  const image = Image.host();
  checkLeaks();
  beforeEach(async () => {
    store = await tempStore();
    runtime = await Runtime.open({ ...store.options, ...options });
  });
  afterEach(async () => {
    await runtime.close();
    await store.remove();
  });
  return {
    get runtime() {
      return runtime;
    },
    get store() {
      return store;
    },
    image,
    async sleeper(more) {
      return await Container.start({ image, argv: ['sleep', 'infinity'], runtime, ...more });
    },
    async sh(line, options = {}) {
      const { image: _, argv: __, ...more } = options as ContainerOptions;
      return await Container.run(image, ['sh', '-c', line], { runtime, ...more });
    },
  };
}

/** What a call rejects with; a call that resolves is a failure. */
export async function rejection(call: Promise<unknown>): Promise<unknown> {
  try {
    await call;
  } catch (error) {
    return error;
  }
  throw new Error('it resolved');
}

import { Readable } from 'node:stream';
import { DiffForm, Type } from '../native/protocol.js';
import { piped } from '../runtime/piped.js';
import { encodeDiff, rootOf } from './encode-diff.js';
import { parseCall } from './find.js';
import { beginReading } from './readings.js';
import type { Supervised } from './supervise.js';

/** An archive of its root as it is when somebody begins to read. `core` throws where there is none. */
export function exportContainer(core: () => Supervised, options: unknown): Readable {
  return Readable.from(archiveOf(core, options), { objectMode: false });
}

async function* archiveOf(of: () => Supervised, options: unknown): AsyncGenerator<Uint8Array> {
  const core = of();
  const reading = beginReading(core, 'export', parseCall(options, core.parts));
  const body = encodeDiff(core, rootOf(core), DiffForm.whole);
  const context = { action: 'export', container: core.name };
  const { signal } = reading;
  try {
    // Who does not read on must not keep its files.
    const ended = (): void => reading.end();
    yield* piped(core.parts, { type: Type.diff, body, context, signal, ended });
  } catch (error) {
    throw reading.explain(error);
  } finally {
    reading.end();
  }
}

import { DiffForm, Type } from '../native/protocol.js';
import { piped } from '../runtime/piped.js';
import { encodeDiff, writtenBy, type Written } from './encode-diff.js';
import { parseCall } from './find.js';
import { beginReading, type Reading } from './readings.js';
import type { Supervised } from './supervise.js';

/** One file or folder that is not as the image has it. */
export interface FsChange {
  path: string;
  kind: 'added' | 'modified' | 'deleted';
}

const KINDS: Readonly<Record<string, FsChange['kind']>> = {
  A: 'added',
  M: 'modified',
  D: 'deleted',
};

/** What it has written so far, sorted by path. */
export async function changesOf(core: Supervised, options: unknown): Promise<FsChange[]> {
  const reading = beginReading(core, 'list the changes of', parseCall(options, core.parts));
  try {
    const changes: FsChange[] = [];
    for (const written of writtenBy(core)) await list(core, written, reading, changes);
    return changes.sort((a, b) => (a.path < b.path ? -1 : 1));
  } catch (error) {
    throw reading.explain(error);
  } finally {
    reading.end();
  }
}

async function list(
  core: Supervised,
  written: Written,
  { signal }: Reading,
  changes: FsChange[],
): Promise<void> {
  const body = encodeDiff(core, written, DiffForm.changes);
  const context = { action: 'list the changes of', container: core.name };
  let rest: Uint8Array = new Uint8Array(0);
  for await (const chunk of piped(core.parts, { type: Type.diff, body, context, signal })) {
    const bytes = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
    let at = 0;
    for (let end = bytes.indexOf(0); end >= 0; end = bytes.indexOf(0, at)) {
      const kind = KINDS[String.fromCharCode(bytes[at] ?? 0)];
      if (kind === undefined) throw new Error('a change of no kind');
      const name = bytes.toString('utf8', at + 1, end);
      const path = name === '' ? written.target : `${written.target}/${name}`;
      // Of the root itself nothing is told, as docker does.
      if (path !== '') changes.push({ path, kind });
      at = end + 1;
    }
    rest = bytes.subarray(at);
  }
}

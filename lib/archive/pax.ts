// Extended headers (pax): what the fields of a tar header have no room for.
import { invalidArchive } from './invalid.js';

/** What stands over the header that follows. */
export interface Overrides {
  readonly name?: string;
  readonly linkName?: string;
  readonly size?: number;
}

/** The records of one extended header, each `"<its length> <key>=<value>\n"`. Unknown keys are nobody's business here. */
export function parsePax(data: Buffer): Overrides {
  const found: { name?: string; linkName?: string; size?: number } = {};
  for (let at = 0; at < data.length;) {
    const space = data.indexOf(' ', at);
    const length = data.toString('latin1', at, Math.max(at, space));
    const end = at + (/^[1-9][0-9]{0,7}$/.test(length) ? Number(length) : 0);
    const equals = data.indexOf('=', space);
    if (end <= equals || equals < 0 || data[end - 1] !== 0x0a) {
      throw invalidArchive('an extended header of the tar archive is malformed');
    }
    const key = data.toString('utf8', space + 1, equals);
    const value = data.toString('utf8', equals + 1, end - 1);
    if (key === 'path') found.name = value;
    else if (key === 'linkpath') found.linkName = value;
    else if (key === 'size') found.size = sizeOf(value);
    else if (key.startsWith('GNU.sparse.')) {
      throw invalidArchive('it has a sparse file, which no tool writes into an image archive');
    }
    at = end;
  }
  return found;
}

function sizeOf(value: string): number {
  const size = /^[0-9]{1,16}$/.test(value) ? Number(value) : Number.NaN;
  if (!Number.isSafeInteger(size)) throw invalidArchive('an extended header has no possible size');
  return size;
}

/** A record's length counts its own digits. */
export function formatPax(records: Readonly<Record<string, string>>): Buffer {
  const lines = Object.entries(records).map(([key, value]) => {
    const rest = Buffer.byteLength(` ${key}=${value}\n`);
    let length = rest;
    while (length !== rest + String(length).length) length = rest + String(length).length;
    return `${length} ${key}=${value}\n`;
  });
  return Buffer.from(lines.join(''));
}

import type { Readable } from 'node:stream';

/**
 * Does `work` with what may be a stream: one that fails before anybody reads it is no error of the program's, and one that
 * is not read to its end is destroyed.
 */
export async function withGiven<T>(source: string | Readable, work: () => Promise<T>): Promise<T> {
  if (typeof source === 'string') return await work();
  const heard = (): void => undefined; // who reads it is told
  source.on('error', heard);
  try {
    return await work();
  } finally {
    if (source.readableEnded) source.off('error', heard);
    else source.destroy();
  }
}

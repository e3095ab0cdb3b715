import { posix } from 'node:path';
import { invalidArchive } from './invalid.js';

/**
 * The one spelling of a member's name: relative, without `.` and empty parts. Empty for the folder that holds all.
 *
 * @throws {@link CaissonError} `ERR_IMAGE_ARCHIVE_INVALID` when it leads out of the archive
 */
export function memberName(text: string): string {
  if (text === '') throw invalidArchive('a member has no name');
  if (text.startsWith('/')) throw invalidArchive('its name is absolute', text);
  if (text.includes('\0')) throw invalidArchive('its name holds a NUL', text);
  const parts = text.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw invalidArchive('its name leads out of the archive', text);
  return parts.join('/');
}

/** A link to another member: looked at when it is followed, as most of what no image is made of. */
export interface Link {
  readonly kind: 'symlink' | 'hard-link';
  readonly target: string;
}

/** The name of what a link of that name leads to. */
export function linkedName(name: string, { kind, target }: Link): string {
  if (kind === 'hard-link') return memberName(target);
  if (target.startsWith('/')) throw invalidArchive('it links to an absolute path', name);
  const led = posix.join(posix.dirname(name), target);
  if (led === '..' || led.startsWith('../')) {
    throw invalidArchive('it links to what is outside of the archive', name);
  }
  return memberName(led);
}

/** Docker's oldest form has one. */
const MAX_LINKS = 8;

/** The files of an archive by their names, and what links lead to them. */
export class NameTable<File> {
  readonly #files = new Map<string, File>();
  readonly #links = new Map<string, Link>();

  /** @throws {@link CaissonError} `ERR_IMAGE_ARCHIVE_INVALID` when the name is taken */
  addFile(name: string, file: File): void {
    this.assertFree(name);
    this.#files.set(name, file);
  }

  /** Its target need not be there yet. */
  addLink(name: string, link: Link): void {
    this.assertFree(name);
    this.#links.set(name, link);
  }

  assertFree(name: string): void {
    if (this.#files.has(name) || this.#links.has(name)) throw invalidArchive('it is twice', name);
  }

  /** The file of that name, or that links of that name lead to; a link to nothing is nothing. */
  get(name: string): File | undefined {
    let at = name;
    for (let links = 0; links <= MAX_LINKS; links++) {
      const link = this.#links.get(at);
      if (link === undefined) return this.#files.get(at);
      at = linkedName(at, link);
    }
    throw invalidArchive(`more than ${MAX_LINKS} links follow one another`, name);
  }
}

// What this machine shows to this program: what is not there, or not to be seen, is an answer and no error.
import { accessSync, readFileSync } from 'node:fs';

export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** `mode` is of `fs.constants`: `R_OK`, `W_OK`, `X_OK`. */
export function mayAccess(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}

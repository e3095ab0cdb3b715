import type { Call } from '../runtime/call.js';

export interface HostOptions extends Call {
  /** Further files and folders of this machine, read-only at the same place. Absolute; they must exist. */
  paths?: string[];
  /** Folders of the image that the container may change: copy-on-write, this machine is not touched. */
  writable?: string[];
}

export interface ImageFilter {
  /** The name, in any of its spellings. */
  reference?: string;
  /** `key` or `key=value`; all of them must match. */
  label?: string | string[];
}

export interface ImageListOptions extends Call {
  filter?: ImageFilter;
}

export interface RemoveImageOptions {
  /**
   * Remove it although containers use it: its name goes at once, its layers with the last of them.
   *
   * @defaultValue `false`
   */
  force?: boolean;
}

export type Auth = { username: string; password: string } | { token: string };

export interface PullOptions extends Call {
  platform?: string;
  policy?: 'missing' | 'always' | 'never';
  auth?: Auth;
}

/** One entry of `Image.history()`. */
export interface Layer {
  readonly createdBy: string;
  readonly createdAt: Date | null;
  readonly sizeBytes: number;
}

import type { Digest } from '../store/images.js';
import type { ImageConfig } from './config.js';

export type ImageId = Digest | `host:${string}`;

/** A mount that comes with the image; `overlay` is copy-on-write over a folder of the host. */
export interface ImageMount {
  readonly type: 'bind' | 'overlay';
  /** Absolute path on the host. With everything mounted below it. */
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
}

/** What a container needs of an image: plain values. */
export interface ResolvedImage {
  readonly id: ImageId;
  /** Folders of the store, lowest first; the first is `layers/skeleton`. */
  readonly layers: readonly string[];
  readonly config: ImageConfig;
  /** Parents before children. */
  readonly mounts: readonly ImageMount[];
}

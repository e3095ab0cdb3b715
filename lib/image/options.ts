import type { Call } from '../runtime/call.js';
import type { Auth } from '../runtime/options.js';

/** What `Image.host()` shows of this machine. `runtime` and `signal` are taken and mean nothing. */
export interface HostOptions extends Call {
  /**
   * Further files and folders of this machine, read-only at the same place. Absolute; they must exist, and not be
   * `/` or inside /proc, /sys or /dev.
   */
  paths?: string[];
  /**
   * Folders that are shown and that the container may change: copy-on-write, this machine is not touched. As an ordinary
   * user only those that nothing is mounted below: a start with others is `ERR_UNSUPPORTED`.
   */
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

export interface SaveImageOptions {
  /**
   * `'oci'`: an OCI image layout, with what Docker needs beside it, as Docker itself writes since version 25.
   * `'docker'`: the older form alone.
   *
   * @defaultValue `'oci'`
   */
  format?: 'oci' | 'docker';
}

export interface PullOptions extends Call {
  /** `'linux/arm64'`, `'linux/arm/v7'`. @defaultValue this machine's */
  platform?: string;
  /**
   * `'missing'` takes the image of that name that is here, whatever its registry has by now; `'always'` asks the
   * registry (by HEAD, if there is one to compare with), and downloads what is not here; `'never'` asks nobody.
   * @defaultValue `'missing'`
   */
  policy?: 'missing' | 'always' | 'never';
  /** Instead of what Docker's `config.json` and credential helpers know, or `registries` of the Runtime. */
  auth?: Auth;
}

export interface PushOptions extends Call {
  /** Instead of what Docker's `config.json` and credential helpers know, or `registries` of the Runtime. */
  auth?: Auth;
}

export interface PruneImagesOptions extends Call {
  /** Only images without a name. `false`: all that no container uses. @defaultValue `true` */
  dangling?: boolean;
  /** Only images that were made before. */
  until?: Date;
  /** `key` or `key=value`; all of them must match. */
  labels?: string | string[];
}

export interface VerifyOptions extends Call {
  /** Names and ids of those to look at. @defaultValue all that the store has, and blobs that none of them needs */
  images?: string[];
  /** Unpacked layers too, and not blobs alone. @defaultValue `true` */
  layers?: boolean;
  /**
   * Mend what can be mended of what is here: layers are made again of their blobs, but not under a container that uses
   * them; damaged blobs go, so that a pull brings them again; an image whose manifest or configuration is damaged is
   * taken off the list. @defaultValue `false`
   */
  repair?: boolean;
}

import type { Call } from '../runtime/call.js';
import type { RegistryConfig } from '../runtime/options.js';
import type { Runtime } from '../runtime/runtime.js';
import type { Digest, Platform } from '../store/images.js';

/** How to reach the registry. */
export interface RegistryOptions extends Omit<RegistryConfig, 'host' | 'mirrors'> {
  /** Reach it as this Runtime does, by its `registries`; nothing else can be said then. */
  runtime?: Runtime;
}

/** Options of a call to a registry. */
export type RegistryCall = Pick<Call, 'signal'>;

export interface ConfigOptions extends RegistryCall {
  /** Whose configuration, of an image for several platforms: `'linux/arm64'`, `'linux/arm/v7'`. Default: this machine's. */
  platform?: string;
}

export interface ReferrersOptions extends RegistryCall {
  /** Those of this type alone. */
  artifactType?: string;
}

export interface SearchOptions extends RegistryCall {
  /** @defaultValue `25` */
  limit?: number;
}

/** A manifest or an index as the registry has it. */
export interface RegistryManifest {
  /** As the registry says; empty where it does not. */
  readonly mediaType: string;
  readonly digest: Digest;
  readonly bytes: Uint8Array;
  /** `bytes` as JSON, unchecked. */
  readonly document: unknown;
}

/** An image's configuration as the registry has it. */
export interface RegistryImage {
  /** The id that the image has once it is pulled. */
  readonly id: Digest;
  /** Of its manifest. */
  readonly digest: Digest;
  /** As the configuration says. */
  readonly platform: Platform;
  /** Of its layers, as they are stored there. */
  readonly sizeBytes: number;
  /** The configuration as JSON, unchecked. */
  readonly document: unknown;
}

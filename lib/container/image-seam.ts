export interface ImageConfig {
  readonly Env?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly WorkingDir?: string;
  readonly User?: string;
  readonly StopSignal?: string;
}

/** A mount that an image brings with it: `overlay` is copy-on-write over a folder of the host. */
export interface MountRequest {
  readonly type: 'bind' | 'overlay';
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
}

export interface ResolvedImage {
  readonly id: string;
  readonly layers: readonly string[];
  readonly config: ImageConfig;
  readonly mounts: readonly MountRequest[];
}

export type Image = object;
export type Network = object;
export type Volume = object;

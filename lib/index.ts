// The public names, by noun. README.md has the first steps, docs/ the rest.

export { Runtime } from './runtime/runtime.js';
export type { Call, Labels, Size } from './runtime/call.js';
export type {
  Auth,
  CloseOptions,
  DiskUsage,
  EventFilter,
  EventsOptions,
  RegistryConfig,
  RuntimeOptions,
} from './runtime/options.js';
export type { Mode, RuntimeEvent, RuntimeEventName } from './runtime/parts.js';
export type { HostItem, HostReport } from './host/check.js';

export { Image } from './image/image.js';
export type { ImageConfig } from './image/config.js';
export type { ImageStore } from './image/image-store.js';
export type { Operation } from './image/operation.js';
export type {
  HostOptions,
  ImageFilter,
  ImageListOptions,
  PruneImagesOptions,
  PullOptions,
  PushOptions,
  RemoveImageOptions,
  SaveImageOptions,
  VerifyOptions,
} from './image/options.js';
export type { Layer } from './image/history.js';
export type { ImageInfo, LayerInfo } from './image/inspect.js';
export type { LayerStatus } from './image/layers.js';
export type { PullEvent } from './image/pull.js';
export type { PushEvent, PushStatus } from './image/push.js';
export type { ImagesUsage, ImageUsage } from './image/usage.js';
export type { StoreProblem, StoreProblemKind, VerifyEvent, VerifyReport } from './image/verify.js';
export type { ImageId } from './image/resolved-image.js';
export type { Descriptor, Digest, Platform } from './store/index.js';

export { Registry } from './registry/registry.js';
export type {
  ConfigOptions,
  ReferrersOptions,
  RegistryCall,
  RegistryImage,
  RegistryManifest,
  RegistryOptions,
  SearchOptions,
} from './registry/options.js';
export type { Referrer } from './registry/listing.js';
export type { SearchResult } from './registry/search.js';

export type { FsChange } from './container/changes.js';
export type { CommitOptions } from './container/commit.js';
export { Container } from './container/container.js';
export { LaterVerbs } from './container/later-verbs.js';
export { Ready } from './container/ready.js';
export type { ContainerStore } from './container/container-store.js';
export type { ExecResult } from './container/collect.js';
export type { ExitInfo, Usage } from './container/exit-info.js';
export type { ContainerInfo } from './container/inspect.js';
export type {
  ContainerFs,
  CopyOptions,
  EgressPolicy,
  EgressRule,
  FileContent,
  Filter,
  Forward,
  HealthCheck,
  LogEntry,
  PublishedPort,
  PublishSpec,
  RestartPolicy,
  Snapshot,
  Stats,
  UpdateOptions,
  UpdatePlan,
} from './container/later-options.js';
export type { IoLimit, Limits } from './container/limits.js';
export type {
  OciBlockIo,
  OciCapabilities,
  OciDevice,
  OciDeviceNumber,
  OciDeviceRule,
  OciIdMapping,
  OciLinux,
  OciSeccomp,
  OciSyscalls,
  OciMount,
  OciNamespace,
  OciProcess,
  OciResources,
  OciRlimit,
  OciSpec,
  OciThrottle,
} from './container/oci-spec.js';
export type {
  BindMount,
  ContainerOptions,
  Encoding,
  ExecOptions,
  LogDriver,
  Mount,
  NetworkAttachmentOptions,
  RemoveOptions,
  RunOptions,
  SpawnOptions,
  StopOptions,
  TmpfsMount,
  Tty,
  VolumeMount,
  WaitOptions,
} from './container/options.js';
export type { Process } from './container/process.js';
export type {
  Device,
  IdMap,
  SeccompProfile,
  SecurityOptions,
  TimeOffset,
} from './container/security-options.js';
export type { Status } from './container/state.js';
export type { ContainerEvent, ContainerEventName } from './container/supervise.js';
export type { StageTimings } from './container/timings.js';

export { Network, type NetworkInfo, type NetworkOptions } from './network/network.js';
export type { NetworkStore } from './network/network-store.js';

export { Volume, type VolumeDriver, type VolumeOptions } from './volume/volume.js';
export type { VolumeStore } from './volume/volume-store.js';

export { BuildError, CaissonError, ExecError, RegistryError } from './errors/index.js';
export type {
  AbortError,
  CaissonErrorOptions,
  ErrorCode,
  ErrorDetails,
  KernelFailure,
  RegistryAnswer,
  RegistryCode,
  RegistryMessage,
} from './errors/index.js';

// The stores of a Runtime register themselves.
import './container/container-store.js';
import './image/image-store.js';
import './network/network-store.js';
import './volume/volume-store.js';

export { abortError, throwIfAborted, type AbortError } from './abort-error.js';
export {
  BuildError,
  CaissonError,
  ExecError,
  RegistryError,
  type CaissonErrorOptions,
  type RegistryCode,
  type RegistryMessage,
} from './caisson-error.js';
export {
  type ErrorCode,
  type ErrorDetails,
  type KernelFailure,
  type RegistryAnswer,
} from './codes.js';

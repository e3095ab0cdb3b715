export { abortError, throwIfAborted, type AbortError } from './abort-error.js';
export {
  BuildError,
  CaissonError,
  ExecError,
  RegistryError,
  type CaissonErrorOptions,
} from './caisson-error.js';
export { type ErrorCode, type ErrorDetails, type KernelFailure } from './codes.js';

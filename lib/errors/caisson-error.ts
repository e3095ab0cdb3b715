import { HINTS, MESSAGES, type ErrorCode, type ErrorDetails } from './codes.js';

const BRAND = Symbol.for('caisson.error');

export interface CaissonErrorOptions {
  readonly cause?: unknown;
  /** What to do about it. Default: the code's own hint, where it has one. */
  readonly hint?: string;
}

/**
 * Everything caisson refuses or fails at. `code` is stable and documented in docs/errors.md;
 * `details` is typed by it; messages may change.
 */
export class CaissonError<C extends ErrorCode = ErrorCode> extends Error {
  override readonly name: string = 'CaissonError';
  /** Permanent. */
  readonly code: C;
  /** Plain data, typed by the code. */
  readonly details: ErrorDetails[C];
  // Declared only: a field would show up as undefined wherever an error without one is printed.
  /** What to do about it, where there is one answer; else absent. */
  declare readonly hint?: string;

  constructor(code: C, details: ErrorDetails[C], options: CaissonErrorOptions = {}) {
    super(MESSAGES[code](details), 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.details = details;
    const hint = options.hint ?? HINTS[code];
    if (hint !== undefined) this.hint = hint;
  }

  /** @internal Recognised by `is` across copies of the package and realms. */
  get [BRAND](): true {
    return true;
  }

  /** Whether `e` is an error of caisson's (with this code): of this copy of the package or another. */
  static is<C extends ErrorCode>(e: unknown, code?: C): e is CaissonError<C> {
    if (typeof e !== 'object' || e === null || !(BRAND in e)) return false;
    return code === undefined || (e as { code?: unknown }).code === code;
  }
}

/** A command ended badly and the caller had asked for `check: true`. `result` has the output. */
export class ExecError<R = unknown> extends CaissonError<'ERR_EXEC_FAILED'> {
  override readonly name = 'ExecError';
  readonly result: R;

  constructor(argv0: string, result: R & Omit<ErrorDetails['ERR_EXEC_FAILED'], 'argv0'>) {
    const { exitCode, signal, reason } = result;
    super('ERR_EXEC_FAILED', { argv0, exitCode, signal, reason });
    this.result = result;
  }
}

/** A step of a build failed. `log` is what it printed. */
export class BuildError extends CaissonError<'ERR_BUILD_FAILED'> {
  override readonly name = 'BuildError';
  readonly step: string;
  readonly log: string;

  constructor(step: string, log: string, options?: CaissonErrorOptions) {
    super('ERR_BUILD_FAILED', { step }, options);
    this.step = step;
    this.log = log;
  }
}

/** One of the messages in a registry's answer. */
export interface RegistryMessage {
  /** As the distribution specification has it, for example `'MANIFEST_UNKNOWN'`. */
  readonly code: string;
  readonly message: string;
}

/** The codes that a {@link RegistryError} has. */
export type RegistryCode = 'ERR_REGISTRY_FAILED' | 'ERR_REGISTRY_DENIED' | 'ERR_MANIFEST_NOT_FOUND';

/** A registry said no. `errors` is the list of its answer. */
export class RegistryError<C extends RegistryCode = RegistryCode> extends CaissonError<C> {
  override readonly name = 'RegistryError';
  readonly status: number;
  readonly errors: readonly RegistryMessage[];

  constructor(
    code: C,
    details: ErrorDetails[C],
    errors: readonly RegistryMessage[],
    options?: CaissonErrorOptions,
  ) {
    super(code, details, options);
    this.status = details.status;
    this.errors = errors;
  }
}

// The table of codes. A code is permanent once published; its message is not. Each code has a
// section in docs/errors.md, and a unit test holds the two together.

/** A kernel failure: which step of ours, which errno, which syscall, about which path. */
export interface KernelFailure {
  /** The step that failed, for example `'mount'`, `'findExecutable'`. */
  readonly step: string;
  /** The error's name, for example `'EPERM'`. */
  readonly errno: string;
  readonly syscall: string;
  /** What the step was about, where it was about a path. */
  readonly path?: string;
  /** Which item of the plan it was, for example the third mount. */
  readonly index?: number;
  /** What the kernel or the plan's parser said about it, where they said something. */
  readonly detail?: string;
}

/** What each code carries in `error.details`. */
export interface ErrorDetails {
  // asking
  ERR_INVALID_ARGUMENT: { readonly option: string; readonly reason: string };
  /** `since`: what brings it, for example `'version 0.2'`; absent when nothing will. */
  ERR_UNSUPPORTED: { readonly what: string; readonly since?: string; readonly reason?: string };

  // runtime
  ERR_RUNTIME_CLOSED: { readonly action: string };
  ERR_NATIVE_MISSING: { readonly tried: readonly string[]; readonly reason?: string };
  ERR_PROTOCOL_MISMATCH: { readonly expected: number; readonly found: number };
  ERR_SUPERVISOR_START: KernelFailure;
  ERR_SUPERVISOR_LOST: { readonly exitCode: number | null; readonly signal: string | null };
  ERR_HAND_LOST: { readonly action: string };
  ERR_REQUEST_REFUSED: { readonly reason: string };
  ERR_REQUEST_FAILED: KernelFailure & { readonly action: string };

  // store
  ERR_STORE_MODE: { readonly root: string; readonly madeBy: string; readonly openedBy: string };
  ERR_STORE_UNUSABLE: { readonly root: string; readonly reason: string };
  ERR_STORE_CORRUPT: { readonly path: string; readonly reason: string };
  ERR_STORE_FULL: { readonly path: string; readonly errno: string };

  // image
  ERR_IMAGE_NOT_FOUND: { readonly reference: string };
  ERR_IMAGE_INVALID: { readonly reference: string; readonly reason: string };
  /** `what`: `'a blob'`, `'a manifest'`. */
  ERR_DIGEST_MISMATCH: { readonly what: string; readonly expected: string; readonly found: string };
  /** `member`: the file in the archive that is wrong, where it is one. */
  ERR_IMAGE_ARCHIVE_INVALID: { readonly reason: string; readonly member?: string };
  ERR_IMAGE_IN_USE: { readonly reference: string; readonly by: readonly string[] };
  ERR_IMPORT_FAILED: KernelFailure & { readonly source: string };

  // container
  ERR_CONTAINER_NOT_FOUND: { readonly container: string };
  ERR_CONTAINER_AMBIGUOUS: { readonly container: string; readonly matches: number };
  ERR_NAME_IN_USE: { readonly name: string; readonly id?: string };
  ERR_CONTAINER_NOT_STARTED: { readonly container: string; readonly action: string };
  ERR_CONTAINER_NOT_RUNNING: {
    readonly container: string;
    readonly action: string;
    readonly state: string;
  };
  ERR_CONTAINER_NOT_PAUSED: {
    readonly container: string;
    readonly action: string;
    readonly state: string;
  };
  ERR_CONTAINER_RUNNING: {
    readonly container: string;
    readonly action: string;
    readonly state: string;
  };
  ERR_CONTAINER_REMOVED: { readonly container: string; readonly action: string };
  ERR_PROCESS_NOT_FOUND: { readonly process: string };

  // launch
  ERR_COMMAND_NOT_FOUND: { readonly command: string; readonly searched: string };
  ERR_COMMAND_NOT_EXECUTABLE: { readonly command: string; readonly errno: string };
  ERR_EXEC_FORMAT: { readonly command: string };
  ERR_INTERPRETER_NOT_FOUND: { readonly command: string };
  ERR_USER_NOT_FOUND: { readonly user: string; readonly reason?: string };
  /** `limit`: the option, as `'limits.cpus'`. */
  ERR_LIMIT_REFUSED: { readonly limit: string; readonly errno: string };
  ERR_LIMIT_TOO_SMALL: { readonly limit: string };
  ERR_LAUNCH_FAILED: KernelFailure;

  // results a caller asked to be errors
  ERR_EXEC_FAILED: {
    readonly argv0: string;
    readonly exitCode: number | null;
    readonly signal: string | null;
    readonly reason: string;
  };
  ERR_BUILD_FAILED: { readonly step: string };

  // registries
  ERR_REGISTRY_FAILED: RegistryAnswer;
  ERR_REGISTRY_DENIED: RegistryAnswer;
  ERR_MANIFEST_NOT_FOUND: RegistryAnswer & { readonly reference: string };
  ERR_REGISTRY_UNREACHABLE: { readonly registry: string; readonly reason: string };
  ERR_REGISTRY_INVALID: { readonly registry: string; readonly reason: string };
  ERR_PLATFORM_NOT_FOUND: {
    readonly reference: string;
    readonly platform: string;
    readonly available: readonly string[];
  };
  /** `source`: the file or helper. */
  ERR_CREDENTIALS_FAILED: { readonly source: string; readonly reason: string };
}

/** What a registry said no to, and how. */
export interface RegistryAnswer {
  /** Its host. */
  readonly registry: string;
  /** What was to be done, for example `'pull library/alpine'`. */
  readonly action: string;
  /** Of its answer. */
  readonly status: number;
  /** The messages of its answer, where it gave some. */
  readonly reason?: string;
}

export type ErrorCode = keyof ErrorDetails;

type Text = { [C in ErrorCode]: (details: ErrorDetails[C]) => string };

const about = (failure: KernelFailure): string =>
  [
    `step ${failure.step}`,
    `${failure.errno} from ${failure.syscall}`,
    ...(failure.index === undefined ? [] : [`item ${failure.index}`]),
    ...(failure.path === undefined ? [] : [quote(failure.path)]),
    ...(failure.detail === undefined ? [] : [failure.detail]),
  ].join(', ');

/** JSON quoting: nothing a container or an image chose can forge a line of a log. */
const quote = (text: string): string => JSON.stringify(text);

const ended = (details: { exitCode: number | null; signal: string | null }): string => {
  if (details.signal !== null) return `was ended by ${details.signal}`;
  return details.exitCode === null ? 'ended' : `exited with code ${details.exitCode}`;
};

const answered = (d: RegistryAnswer): string =>
  `could not ${d.action}: ${d.registry} answered with status ${d.status}` +
  (d.reason === undefined ? '' : `: ${d.reason}`);

export const MESSAGES: Text = {
  ERR_INVALID_ARGUMENT: (d) => `${d.option}: ${d.reason}`,
  ERR_UNSUPPORTED: (d) =>
    `${d.what} is not supported` +
    (d.reason === undefined ? '' : `: ${d.reason}`) +
    (d.since === undefined ? '' : `; it comes with ${d.since}`),

  ERR_RUNTIME_CLOSED: (d) => `cannot ${d.action}: the runtime is closed`,
  ERR_NATIVE_MISSING: (d) =>
    `the native part was not found (tried ${d.tried.join(', ')})` +
    (d.reason === undefined ? '' : `: ${d.reason}`),
  ERR_PROTOCOL_MISMATCH: (d) =>
    `the supervisor speaks protocol ${d.found}, this library speaks ${d.expected}`,
  ERR_SUPERVISOR_START: (d) => `the supervisor did not start: ${about(d)}`,
  ERR_SUPERVISOR_LOST: (d) => `the supervisor is gone: it ${ended(d)}`,
  ERR_HAND_LOST: (d) => `a helper process of the supervisor died during ${d.action}`,
  ERR_REQUEST_REFUSED: (d) => `the supervisor refused the request: ${d.reason}`,
  ERR_REQUEST_FAILED: (d) => `could not ${d.action}: ${about(d)}`,

  ERR_STORE_MODE: (d) =>
    `the store ${quote(d.root)} was made ${d.madeBy} and cannot be opened ${d.openedBy}`,
  ERR_STORE_UNUSABLE: (d) => `the store ${quote(d.root)} cannot be used: ${d.reason}`,
  ERR_STORE_CORRUPT: (d) => `${quote(d.path)} in the store is damaged: ${d.reason}`,
  ERR_STORE_FULL: (d) => `no space left (${d.errno}) for ${quote(d.path)}`,

  ERR_IMAGE_NOT_FOUND: (d) => `no such image: ${quote(d.reference)}`,
  ERR_IMAGE_INVALID: (d) => `the image ${quote(d.reference)} is not valid: ${d.reason}`,
  ERR_DIGEST_MISMATCH: (d) => `${d.what} came with the digest ${d.found}, not ${d.expected}`,
  ERR_IMAGE_ARCHIVE_INVALID: (d) =>
    `the image archive is not valid: ${d.member === undefined ? '' : `${quote(d.member)}: `}${d.reason}`,
  ERR_IMAGE_IN_USE: (d) => `the image ${quote(d.reference)} is in use by ${d.by.join(', ')}`,
  ERR_IMPORT_FAILED: (d) => `${quote(d.source)} could not be imported: ${about(d)}`,

  ERR_CONTAINER_NOT_FOUND: (d) => `no such container: ${quote(d.container)}`,
  ERR_CONTAINER_AMBIGUOUS: (d) =>
    `${quote(d.container)} is the beginning of ${d.matches} container ids`,
  ERR_NAME_IN_USE: (d) =>
    `the name ${quote(d.name)} is in use` + (d.id === undefined ? '' : ` by container ${d.id}`),
  ERR_CONTAINER_NOT_STARTED: (d) => `cannot ${d.action} ${d.container}: it was never started`,
  ERR_CONTAINER_NOT_RUNNING: (d) => `cannot ${d.action} ${d.container}: it is ${d.state}`,
  ERR_CONTAINER_NOT_PAUSED: (d) => `cannot ${d.action} ${d.container}: it is ${d.state}`,
  ERR_CONTAINER_RUNNING: (d) => `cannot ${d.action} ${d.container}: it is ${d.state}`,
  ERR_CONTAINER_REMOVED: (d) => `cannot ${d.action} ${d.container}: it was removed`,
  ERR_PROCESS_NOT_FOUND: (d) => `no such process: ${quote(d.process)}`,

  ERR_COMMAND_NOT_FOUND: (d) =>
    `command not found in the container: ${quote(d.command)}` +
    (d.searched === '' ? '' : ` (PATH is ${quote(d.searched)})`),
  ERR_COMMAND_NOT_EXECUTABLE: (d) => `not executable (${d.errno}): ${quote(d.command)}`,
  ERR_EXEC_FORMAT: (d) =>
    `${quote(d.command)} is not a program for this machine, nor a script with a #! line`,
  ERR_INTERPRETER_NOT_FOUND: (d) =>
    `${quote(d.command)} exists, but its interpreter or dynamic loader does not`,
  ERR_USER_NOT_FOUND: (d) =>
    `no such user or group in the container: ${quote(d.user)}` +
    (d.reason === undefined ? '' : `: ${d.reason}`),
  ERR_LIMIT_REFUSED: (d) => `the kernel refuses ${d.limit} (${d.errno})`,
  ERR_LIMIT_TOO_SMALL: (d) => `${d.limit} is too small: the process was killed before it began`,
  ERR_LAUNCH_FAILED: (d) => `the process could not be started: ${about(d)}`,

  ERR_EXEC_FAILED: (d) => `${quote(d.argv0)} ${ended(d)} (${d.reason})`,
  ERR_BUILD_FAILED: (d) => `the build failed at ${d.step}`,

  ERR_REGISTRY_FAILED: answered,
  ERR_REGISTRY_DENIED: answered,
  ERR_MANIFEST_NOT_FOUND: (d) => `${d.registry} has no ${quote(d.reference)}`,
  ERR_REGISTRY_UNREACHABLE: (d) => `${d.registry} could not be reached: ${d.reason}`,
  ERR_REGISTRY_INVALID: (d) => `${d.registry} gave an answer that is not valid: ${d.reason}`,
  ERR_PLATFORM_NOT_FOUND: (d) =>
    `${quote(d.reference)} is not there for ${d.platform}` +
    (d.available.length === 0 ? '' : `, only for ${d.available.join(', ')}`),
  ERR_CREDENTIALS_FAILED: (d) => `no credentials from ${quote(d.source)}: ${d.reason}`,
};

/** What to do about it, where there is one answer; a thrower that knows better passes its own. */
export const HINTS: { readonly [C in ErrorCode]?: string } = {
  ERR_RUNTIME_CLOSED: 'Open another one with Runtime.open().',
  ERR_NATIVE_MISSING:
    'Build it with `npx caisson build`, or point CAISSON_NATIVE_DIR at a folder that holds it.',
  ERR_PROTOCOL_MISMATCH:
    'Addon and supervisor are of different versions: reinstall the package, or run `npx caisson build`.',
  ERR_SUPERVISOR_START: 'Runtime.check() says what this machine lacks.',
  ERR_STORE_MODE: 'Give Runtime.open() another `root`, or open it as the user who made it.',
  ERR_STORE_FULL: 'Free space (or inodes) on the file system of the store.',
  ERR_IMAGE_NOT_FOUND: 'Image.list() shows what the store has.',
  ERR_CONTAINER_NOT_FOUND: 'Container.list({ all: true }) shows what the store has.',
  ERR_CONTAINER_AMBIGUOUS: 'Give more characters of the id.',
  ERR_NAME_IN_USE:
    'Remove that container, choose another name, or use Container.getOrCreate() to share it.',
  ERR_CONTAINER_RUNNING: 'Stop it first, or pass { force: true } to remove().',
  ERR_COMMAND_NOT_FOUND: "argv is an array: a shell line needs ['sh', '-c', line].",
  ERR_EXEC_FORMAT:
    'It was built for another architecture, or it is a script whose first line is not #!/path/to/interpreter.',
  ERR_INTERPRETER_NOT_FOUND:
    'Add the interpreter of its #! line (or, for a dynamic program, its loader) to the image.',
  ERR_REGISTRY_DENIED:
    'Registry.login() or `docker login` stores credentials; `auth` gives them for one call. A private repository that does not exist looks the same.',
  ERR_PLATFORM_NOT_FOUND: 'Name another one: `platform`.',
  ERR_LIMIT_TOO_SMALL: 'A start by itself needs a few MiB, and the program its own.',
  ERR_USER_NOT_FOUND:
    "Names come from the image's own /etc/passwd and /etc/group; a number always works.",
};

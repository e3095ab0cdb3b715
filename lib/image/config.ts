import {
  checkAbsolutePath,
  checkArray,
  checkBag,
  checkName,
  checkString,
  invalid,
  kindOf,
} from '../errors/arguments.js';

/** What an image says about running it: the names and meanings of OCI's image-spec. Unknown names are refused. */
export interface ImageConfig {
  /** `name`, `uid`, `name:group` or `uid:gid`. */
  readonly User?: string;
  /** Kept, and of no effect in this version. */
  readonly ExposedPorts?: Readonly<Record<string, Readonly<Record<string, never>>>>;
  /** `NAME=value`. */
  readonly Env?: readonly string[];
  /** Comes before argv, or before `Cmd` without one. */
  readonly Entrypoint?: readonly string[];
  /** What runs without argv. */
  readonly Cmd?: readonly string[];
  /** Kept, and of no effect in this version. */
  readonly Volumes?: Readonly<Record<string, Readonly<Record<string, never>>>>;
  /** Absolute, or empty for `/`; made if it is missing. */
  readonly WorkingDir?: string;
  readonly Labels?: Readonly<Record<string, string>>;
  /** What `stop` sends first: a name (`SIGINT`) or number. */
  readonly StopSignal?: string;
}

const STRINGS = ['User', 'WorkingDir', 'StopSignal'] as const;
const LISTS = ['Env', 'Entrypoint', 'Cmd'] as const;
const SETS = ['ExposedPorts', 'Volumes'] as const;
const KEYS: ReadonlySet<string> = new Set([...STRINGS, ...LISTS, ...SETS, 'Labels']);

/** A complete, frozen copy; unknown keys are refused. */
export function parseImageConfig(value: unknown, option = 'config'): ImageConfig {
  if (value === undefined) return Object.freeze({});
  const bag = checkBag(value, option, KEYS);
  const config: Record<string, unknown> = {};
  for (const key of STRINGS) {
    if (bag[key] !== undefined) config[key] = checkString(bag[key], `${option}.${key}`);
  }
  const { WorkingDir } = config as ImageConfig;
  if (WorkingDir) checkAbsolutePath(WorkingDir, `${option}.WorkingDir`);
  for (const key of LISTS) {
    if (bag[key] !== undefined) config[key] = strings(bag[key], `${option}.${key}`);
  }
  for (const key of SETS) {
    if (bag[key] !== undefined) config[key] = set(bag[key], `${option}.${key}`);
  }
  if (bag['Labels'] !== undefined) config['Labels'] = labels(bag['Labels'], `${option}.Labels`);
  checkEnv(config['Env'] as readonly string[] | undefined, `${option}.Env`);
  return Object.freeze(config);
}

function strings(value: unknown, option: string): readonly string[] {
  return Object.freeze(
    checkArray(value, option).map((one, i) => checkString(one, `${option}[${i}]`)),
  );
}

function set(value: unknown, option: string): Readonly<Record<string, Record<string, never>>> {
  return Object.freeze(
    Object.fromEntries(Object.keys(record(value, option)).map((key) => [key, {}])),
  );
}

function labels(value: unknown, option: string): Readonly<Record<string, string>> {
  const entries = Object.entries(record(value, option)).map(
    ([key, text]) => [checkName(key, option), checkString(text, `${option}.${key}`)] as const,
  );
  return Object.freeze(Object.fromEntries(entries));
}

function record(value: unknown, option: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(option, `must be an object, not ${kindOf(value)}`);
  }
  return value as Readonly<Record<string, unknown>>;
}

function checkEnv(env: readonly string[] | undefined, option: string): void {
  const bad = env?.findIndex((entry) => entry.indexOf('=') < 1) ?? -1;
  // The text itself may be a secret.
  if (bad >= 0) throw invalid(`${option}[${bad}]`, 'must be NAME=value');
}

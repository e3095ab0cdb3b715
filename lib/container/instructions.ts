// Lines of a Dockerfile that say how an image is run, as `docker commit --change` takes them.
import { posix } from 'node:path';
import { invalid } from '../errors/arguments.js';
import { parseSignal } from '../native/signals.js';
import type { ImageConfig } from '../image/config.js';
import { parseHealthcheck, type Healthcheck } from './healthcheck.js';
import { list } from './json-form.js';

/** What an image's configuration may say, with what this version does not heed. */
export interface FullConfig extends ImageConfig {
  readonly Healthcheck?: Healthcheck;
  readonly OnBuild?: readonly string[];
}

type Env = ReadonlyMap<string, string>;

/** What one line says: `rest` is what follows its name, `before` what lines before it have said. */
type Instruction = (rest: string, before: FullConfig, env: Env) => FullConfig;

const SHELL = ['/bin/sh', '-c'];

const INSTRUCTIONS: Readonly<Record<string, Instruction>> = {
  CMD: (rest) => ({ Cmd: command(rest) }),
  ENTRYPOINT: (rest) => ({ Entrypoint: command(rest) }),
  ENV: (rest, { Env = [] }, env) => ({ Env: mergeEnv(Env, pairs(rest, env)) }),
  EXPOSE: (rest, { ExposedPorts = {} }, env) => ({
    ExposedPorts: { ...ExposedPorts, ...setOf(words(rest, env).flatMap(ports)) },
  }),
  HEALTHCHECK: (rest) => ({ Healthcheck: parseHealthcheck(rest) }),
  LABEL: (rest, { Labels = {} }, env) => ({
    Labels: { ...Labels, ...Object.fromEntries(pairs(rest, env)) },
  }),
  ONBUILD: (rest, { OnBuild = [] }) => ({ OnBuild: [...OnBuild, trigger(rest)] }),
  STOPSIGNAL: (rest, _, env) => ({ StopSignal: signal(one(rest, env)) }),
  USER: (rest, _, env) => ({ User: one(rest, env) }),
  VOLUME: (rest, { Volumes = {} }, env) => ({
    Volumes: { ...Volumes, ...setOf(list(rest) ?? words(rest, env)) },
  }),
  WORKDIR: (rest, { WorkingDir = '/' }, env) => ({
    WorkingDir: posix.resolve(WorkingDir, one(rest, env)),
  }),
};

/**
 * What these lines say together. Variables (`$PATH`, `${PATH}`) are those of `env` and of ENV lines before.
 *
 * @throws {@link CaissonError} `ERR_INVALID_ARGUMENT`
 */
export function applyInstructions(
  lines: readonly string[],
  config: ImageConfig,
  env: readonly string[],
): FullConfig {
  let known: FullConfig = config;
  for (const [i, line] of lines.entries()) {
    const [, name = '', rest = ''] = /^\s*(\w+)\s+([^]*?)\s*$/.exec(line) ?? [];
    const instruction = INSTRUCTIONS[name.toUpperCase()];
    if (instruction === undefined) {
      throw invalid(`changes[${i}]`, `must be one of ${Object.keys(INSTRUCTIONS).join(', ')}`);
    }
    try {
      const variables = new Map(mergeEnv(env, (known.Env ?? []).map(pairOf)).map(pairOf));
      known = { ...known, ...instruction(rest, known, variables) };
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      throw invalid(`changes[${i}]`, error.message);
    }
  }
  return known;
}

/** Each name once, where it first stood. */
export function mergeEnv(
  env: readonly string[],
  pairs: readonly (readonly [string, string])[],
): readonly string[] {
  const merged = new Map(env.map(pairOf));
  for (const [name, value] of pairs) merged.set(name, value);
  return Array.from(merged, ([name, value]) => `${name}=${value}`);
}

export function pairOf(text: string): readonly [string, string] {
  const equals = text.indexOf('=');
  return equals < 0 ? [text, ''] : [text.slice(0, equals), text.slice(equals + 1)];
}

const command = (text: string): readonly string[] => list(text) ?? [...SHELL, text];

const setOf = (names: readonly string[]): Readonly<Record<string, Record<string, never>>> =>
  Object.fromEntries(names.map((name) => [name, {}]));

function one(text: string, env: Env): string {
  const [word, ...more] = words(text, env);
  if (word === undefined || word === '' || more.length > 0) throw new SyntaxError('takes one word');
  return word;
}

/** `a=b c="d e"`, or the old form `a b c`, which is one pair. */
function pairs(text: string, env: Env): readonly (readonly [string, string])[] {
  const first = /^\S*/.exec(text)?.[0] ?? '';
  if (!first.includes('=')) {
    const rest = text.slice(first.length).trimStart();
    if (first === '' || rest === '') throw new SyntaxError('must be NAME=value');
    return [[first, words(rest, env, 'all').join('')]];
  }
  return words(text, env).map((word) => {
    const pair = pairOf(word);
    if (!word.includes('=') || pair[0] === '') throw new SyntaxError('must be NAME=value');
    return pair;
  });
}

/** Words as a shell splits them: quotes, backslashes, variables. `'all'`: spaces outside of quotes are kept. */
function words(text: string, env: Env, split: 'words' | 'all' = 'words'): readonly string[] {
  const found: string[] = [];
  let word: string | undefined;
  let quote = '';
  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at);
    if (quote === '' && split === 'words' && /\s/.test(character)) {
      if (word !== undefined) found.push(word);
      word = undefined;
    } else if (character === quote || (quote === '' && /["']/.test(character))) {
      quote = quote === '' ? character : '';
      word ??= '';
    } else if (character === '\\' && quote !== "'" && at + 1 < text.length) {
      at += 1;
      const escaped = text.charAt(at);
      word = (word ?? '') + (quote === '"' && !/["$\\]/.test(escaped) ? `\\${escaped}` : escaped);
    } else if (character === '$' && quote !== "'") {
      const [whole, value] = variable(text.slice(at), env);
      word = (word ?? '') + value;
      at += whole.length - 1;
    } else {
      word = (word ?? '') + character;
    }
  }
  if (quote !== '') throw new SyntaxError('has a quote that does not end');
  if (word !== undefined) found.push(word);
  return found;
}

function variable(text: string, env: Env): readonly [whole: string, value: string] {
  const [whole, bare, braced] = /^\$(?:(\w+)|\{(\w+)\})/.exec(text) ?? [];
  if (whole !== undefined) return [whole, env.get(bare ?? braced ?? '') ?? ''];
  if (text.startsWith('${')) throw new SyntaxError('has a variable that is not ${NAME}');
  return ['$', '$'];
}

/** `80`, `80/udp`, `8000-8002`. */
function ports(text: string): string[] {
  const [, from = '', to = from, protocol = 'tcp'] =
    /^(\d+)(?:-(\d+))?(?:\/(tcp|udp|sctp))?$/i.exec(text) ?? [];
  const [first, last] = [Number(from), Number(to)];
  if (from === '' || first < 1 || last < first || last > 65_535) {
    throw new SyntaxError(`has a port that is none: ${JSON.stringify(text)}`);
  }
  const kind = protocol.toLowerCase();
  return Array.from({ length: last - first + 1 }, (_, i) => `${first + i}/${kind}`);
}

function signal(text: string): string {
  if (!/^\d+$/.test(text)) parseSignal(text.startsWith('SIG') ? text : `SIG${text}`, 'changes');
  return text;
}

function trigger(text: string): string {
  const [name = ''] = text.split(/\s/, 1);
  if (/^(?:onbuild|from|maintainer|)$/i.test(name)) {
    throw new SyntaxError(`cannot trigger ${JSON.stringify(name)}`);
  }
  return text;
}

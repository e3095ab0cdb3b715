import { checkAbsolutePath, checkInteger, invalid } from '../errors/arguments.js';
import { HookPoint } from '../native/protocol.js';
import { items, section, texts } from './config-checks.js';

/** A program that is run at a point of a container's life, with its state on stdin. */
export interface Hook {
  readonly point: HookPoint;
  readonly path: string;
  /** With the name as its first; empty: the path alone. */
  readonly args: readonly string[];
  readonly env: readonly string[];
  /** 0: none. */
  readonly timeoutMs: number;
}

const MAX_TIMEOUT_S = 2 ** 31 / 1000 - 1;

export function parseHooks(value: unknown): readonly Hook[] {
  const bag = section(value, 'hooks');
  return Object.entries(HookPoint).flatMap(([name, point]) =>
    items(bag[name], `hooks.${name}`).map((hook, index) =>
      parseHook(hook, point, `hooks.${name}[${index}]`),
    ),
  );
}

function parseHook(value: unknown, point: HookPoint, option: string): Hook {
  const bag = section(value, option);
  const path = bag['path'];
  if (typeof path !== 'string' || !path.startsWith('/')) {
    throw invalid(`${option}.path`, 'must be an absolute path');
  }
  // The spec: greater than zero, if it is there.
  const seconds = bag['timeout'];
  const timeoutMs =
    seconds === undefined ? 0 : checkInteger(seconds, `${option}.timeout`, 1, MAX_TIMEOUT_S) * 1000;
  return {
    point,
    path: checkAbsolutePath(path, `${option}.path`),
    args: texts(bag['args'], `${option}.args`),
    env: texts(bag['env'], `${option}.env`),
    timeoutMs,
  };
}

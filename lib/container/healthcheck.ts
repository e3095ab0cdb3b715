import { list } from './json-form.js';

/** As Docker has it in an image's configuration: times in nanoseconds, 0 for its defaults. */
export interface Healthcheck {
  readonly Test: readonly string[];
  readonly Interval?: number;
  readonly Timeout?: number;
  readonly StartPeriod?: number;
  readonly StartInterval?: number;
  readonly Retries?: number;
}

const TIMES: Readonly<Record<string, Exclude<keyof Healthcheck, 'Test'>>> = {
  interval: 'Interval',
  timeout: 'Timeout',
  'start-period': 'StartPeriod',
  'start-interval': 'StartInterval',
  retries: 'Retries',
};

/** `NONE`, or `--interval=30s … CMD …`. Throws a SyntaxError. */
export function parseHealthcheck(text: string): Healthcheck {
  if (/^none$/i.test(text)) return { Test: ['NONE'] };
  const numbers: Record<string, number> = {};
  let rest = text;
  for (;;) {
    const [whole, name = '', value = ''] = /^--([\w-]+)=(\S+)\s*/.exec(rest) ?? [];
    if (whole === undefined) break;
    const key = TIMES[name];
    if (key === undefined) throw new SyntaxError(`has no option --${name}`);
    numbers[key] = key === 'Retries' ? count(value) : nanoseconds(value);
    rest = rest.slice(whole.length);
  }
  const command = /^cmd\s+([^]+)$/i.exec(rest)?.[1];
  if (command === undefined) throw new SyntaxError('must be NONE, or end in CMD and a command');
  const argv = list(command);
  return { Test: argv === undefined ? ['CMD-SHELL', command] : ['CMD', ...argv], ...numbers };
}

function count(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new SyntaxError(`has retries that are no number: ${text}`);
  return Number(text);
}

const UNITS: Readonly<Record<string, number>> = { ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 };

/** `1m30s`, as Go writes durations. */
function nanoseconds(text: string): number {
  if (!/^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/.test(text)) {
    throw new SyntaxError(`has a time that is none: ${JSON.stringify(text)}`);
  }
  let sum = 0;
  for (const [, number = '', unit = ''] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)) {
    sum += Number(number) * (UNITS[unit] ?? 0);
  }
  return Math.round(sum);
}

import { constants } from 'node:os';
import { invalid, kindOf, nearestName } from '../errors/arguments.js';

const NUMBERS: ReadonlyMap<string, number> = new Map(Object.entries(constants.signals));

const NAMES = new Map<number, NodeJS.Signals>();
for (const [name, number] of NUMBERS) {
  // The first of two names for one number is the usual one (SIGABRT, not SIGIOT).
  if (!NAMES.has(number)) NAMES.set(number, name as NodeJS.Signals);
}

/** Real-time signals have no names in Node. */
const FIRST_REAL_TIME = 34;

/** `'SIGKILL'` for 9. */
export function signalName(number: number): NodeJS.Signals {
  return NAMES.get(number) ?? (`SIGRTMIN+${number - FIRST_REAL_TIME}` as NodeJS.Signals);
}

/** The number of a signal given by name, as in `'SIGTERM'`. */
export function parseSignal(value: unknown, option: string): number {
  if (typeof value !== 'string') {
    throw invalid(option, `must be the name of a signal, not ${kindOf(value)}`);
  }
  const number = NUMBERS.get(value);
  if (number === undefined) {
    const nearest = nearestName(value, NUMBERS.keys());
    throw invalid(
      option,
      `no such signal: ${JSON.stringify(value)}` +
        (nearest === undefined ? '' : `; did you mean ${JSON.stringify(nearest)}?`),
    );
  }
  return number;
}

/** What an image or a plan says: `SIGTERM`, `TERM` or a number; SIGTERM when it says nonsense. */
export function stopSignalNumber(text: string): number {
  if (/^\d+$/.test(text)) {
    const number = Number(text);
    return number >= 1 && number <= 64 ? number : constants.signals.SIGTERM;
  }
  return NUMBERS.get(text) ?? NUMBERS.get(`SIG${text}`) ?? constants.signals.SIGTERM;
}

export const SIGKILL: number = constants.signals.SIGKILL;

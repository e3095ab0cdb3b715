import { describe, expect, test } from 'vitest';
import { assertCan, assertFollows, type Status, type Verb } from '../../../lib/container/state.js';

const STATES: Status[] = [
  'created',
  'starting',
  'running',
  'paused',
  'stopping',
  'restarting',
  'exited',
  'removed',
];

const refusal = (verb: Verb, state: Status): string => {
  try {
    assertCan(verb, state, 'box');
    return '';
  } catch (error) {
    return (error as { code: string }).code.replace('ERR_CONTAINER_', '');
  }
};

// One line a verb, one word a state, in the order above; '' is allowed.
const TABLE: Record<Verb, string[]> = {
  start: ['', 'RUNNING', 'RUNNING', 'RUNNING', 'RUNNING', 'RUNNING', '', 'REMOVED'],
  stop: ['NOT_STARTED', '', '', '', '', '', '', 'REMOVED'],
  restart: ['NOT_STARTED', 'NOT_RUNNING', '', '', 'NOT_RUNNING', 'NOT_RUNNING', '', 'REMOVED'],
  kill: ['NOT_STARTED', 'NOT_RUNNING', '', '', '', '', 'NOT_RUNNING', 'REMOVED'],
  'exec in': [
    'NOT_STARTED',
    'NOT_RUNNING',
    '',
    'NOT_RUNNING',
    '',
    'NOT_RUNNING',
    'NOT_RUNNING',
    'REMOVED',
  ],
  'spawn in': [
    'NOT_STARTED',
    'NOT_RUNNING',
    '',
    'NOT_RUNNING',
    '',
    'NOT_RUNNING',
    'NOT_RUNNING',
    'REMOVED',
  ],
  'attach to': ['NOT_STARTED', 'NOT_RUNNING', '', '', '', 'NOT_RUNNING', 'NOT_RUNNING', 'REMOVED'],
  remove: ['', 'RUNNING', 'RUNNING', 'RUNNING', 'RUNNING', 'RUNNING', '', ''],
  pause: [
    'NOT_STARTED',
    'NOT_RUNNING',
    '',
    'NOT_RUNNING',
    'NOT_RUNNING',
    'NOT_RUNNING',
    'NOT_RUNNING',
    'REMOVED',
  ],
  resume: [
    'NOT_STARTED',
    'NOT_PAUSED',
    'NOT_PAUSED',
    '',
    'NOT_PAUSED',
    'NOT_PAUSED',
    'NOT_PAUSED',
    'REMOVED',
  ],
};

test.each(Object.entries(TABLE))('%s', (verb, expected) => {
  expect(STATES.map((state) => refusal(verb as Verb, state))).toEqual(expected);
});

describe('which state follows which', () => {
  test('a whole life', () => {
    const life: Status[] = [
      'created',
      'starting',
      'running',
      'stopping',
      'exited',
      'starting',
      'exited',
      'removed',
    ];
    for (const [i, to] of life.slice(1).entries()) assertFollows(life[i]!, to);
  });

  test.each<[Status, Status]>([
    ['created', 'running'],
    ['running', 'removed'],
    ['removed', 'starting'],
    ['exited', 'running'],
  ])('%s is never followed by %s', (from, to) => {
    expect(() => {
      assertFollows(from, to);
    }).toThrow(/cannot go/);
  });
});

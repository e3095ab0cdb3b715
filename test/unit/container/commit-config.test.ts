import { describe, expect, test } from 'vitest';

import {
  configOfContainer,
  planConfig,
  type AskedOfContainer,
} from '../../../lib/container/commit-config.js';
import { applyInstructions, type FullConfig } from '../../../lib/container/instructions.js';

const refused = expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }) as Error;
const apply = (...lines: string[]): FullConfig => applyInstructions(lines, {}, ['PATH=/bin', 'X=']);
const SECOND = 1e9;

describe('lines of a Dockerfile', () => {
  test.each<[string, FullConfig]>([
    ['CMD ["a", "b c"]', { Cmd: ['a', 'b c'] }],
    ['CMD []', { Cmd: [] }],
    ['cmd a  "b"', { Cmd: ['/bin/sh', '-c', 'a  "b"'] }],
    ['CMD [a, b]', { Cmd: ['/bin/sh', '-c', '[a, b]'] }],
    ['CMD ["a", 1]', { Cmd: ['/bin/sh', '-c', '["a", 1]'] }],
    ['ENTRYPOINT ["x"]', { Entrypoint: ['x'] }],
    ['ENV a=1 b="2 3" c=4\\ 5', { Env: ['a=1', 'b=2 3', 'c=4 5'] }],
    [
      "ENV a=$PATH:/x b=${PATH} c=\\$PATH d='$PATH' e=$NONE",
      { Env: ['a=/bin:/x', 'b=/bin', 'c=$PATH', 'd=$PATH', 'e='] },
    ],
    ['ENV a some  words', { Env: ['a=some  words'] }],
    ['ENV a="" b=\'\'', { Env: ['a=', 'b='] }],
    ['ENV a="x\\"y\\z" b=1$', { Env: ['a=x"y\\z', 'b=1$'] }],
    ['LABEL a=1 "b c"=d', { Labels: { a: '1', 'b c': 'd' } }],
    [
      'EXPOSE 80 53/udp 8000-8001/TCP',
      { ExposedPorts: { '80/tcp': {}, '53/udp': {}, '8000/tcp': {}, '8001/tcp': {} } },
    ],
    ['VOLUME /a /b', { Volumes: { '/a': {}, '/b': {} } }],
    ['VOLUME ["/a b"]', { Volumes: { '/a b': {} } }],
    ['USER app:app', { User: 'app:app' }],
    ['WORKDIR /a', { WorkingDir: '/a' }],
    ['STOPSIGNAL SIGINT', { StopSignal: 'SIGINT' }],
    ['STOPSIGNAL 9', { StopSignal: '9' }],
    ['ONBUILD RUN x  y', { OnBuild: ['RUN x  y'] }],
    ['HEALTHCHECK NONE', { Healthcheck: { Test: ['NONE'] } }],
    ['HEALTHCHECK CMD ["a", "b"]', { Healthcheck: { Test: ['CMD', 'a', 'b'] } }],
    [
      'HEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=500ms --retries=3 CMD a b',
      {
        Healthcheck: {
          Test: ['CMD-SHELL', 'a b'],
          Interval: 90 * SECOND,
          Timeout: 1.5 * SECOND,
          StartPeriod: SECOND / 2,
          Retries: 3,
        },
      },
    ],
  ])('%s', (line, config) => {
    expect(apply(line)).toEqual(config);
    expect(apply(`  ${line}\n`)).toEqual(config);
  });

  test('each knows what came before', () => {
    const lines = ['ENV a=1', 'ENV b=$a a=2', 'WORKDIR /x', 'WORKDIR ../y', 'USER a', 'USER b'];
    expect(apply(...lines)).toEqual({ Env: ['a=2', 'b=1'], WorkingDir: '/y', User: 'b' });
  });

  test.each([
    ...['RUN x', 'FROM x', 'COPY a b', 'CMD', 'EXPOSE', ''].map((line) => [line]),
    ...['ENV', 'ENV a', 'ENV =b', 'ENV a=1 b', 'ENV a="b', 'ENV a=${b:-c}', 'LABEL a'].map(
      (line) => [line],
    ),
    ...['EXPOSE 0', 'EXPOSE 65536', 'EXPOSE 9-8', 'EXPOSE 80/icmp', 'EXPOSE a'].map((line) => [
      line,
    ]),
    ...['USER a b', 'USER ""', 'WORKDIR', 'STOPSIGNAL SIGNONE', 'ONBUILD ONBUILD RUN x'].map(
      (line) => [line],
    ),
    ...['ONBUILD FROM x', 'HEALTHCHECK', 'HEALTHCHECK x', 'HEALTHCHECK --retries=x CMD a'].map(
      (line) => [line],
    ),
    ...['HEALTHCHECK --interval=5 CMD a', 'HEALTHCHECK --what=5s CMD a'].map((line) => [line]),
  ])('refused: %s', (line) => {
    expect(() => apply(line)).toThrow(refused);
  });
});

describe('what is committed', () => {
  const asked = (more: Partial<AskedOfContainer> = {}): AskedOfContainer => ({
    argv: undefined,
    entrypoint: undefined,
    process: { env: {}, cwd: undefined, user: undefined, timeoutMs: 0 },
    labels: {},
    ...more,
  });
  const image: FullConfig = {
    Cmd: ['c'],
    Entrypoint: ['e'],
    Env: ['A=1'],
    User: 'u',
    Labels: { l: '1' },
  };

  test.each<[Partial<AskedOfContainer>, FullConfig]>([
    [{}, { Entrypoint: ['e'], Cmd: ['c'] }],
    [{ argv: ['x'] }, { Entrypoint: ['e'], Cmd: ['x'] }],
    [{ entrypoint: ['f'] }, { Entrypoint: ['f'] }],
    [
      { entrypoint: [], argv: ['x'] },
      { Entrypoint: [], Cmd: ['x'] },
    ],
  ])('the command of a container asked for as %j', (more, expected) => {
    const { Entrypoint, Cmd } = configOfContainer(asked(more), image);
    expect({ Entrypoint, Cmd }).toEqual({ Entrypoint: undefined, Cmd: undefined, ...expected });
  });

  test.each<[readonly string[], FullConfig]>([
    [[], { Entrypoint: ['e'], Cmd: ['c'] }],
    [['CMD ["x"]'], { Entrypoint: ['e'], Cmd: ['x'] }],
    [['ENTRYPOINT ["x"]'], { Entrypoint: ['x'] }],
    [['ENTRYPOINT ["x"]', 'CMD ["y"]'], { Entrypoint: ['x'], Cmd: ['y'] }],
    [['ENTRYPOINT []'], { Entrypoint: [], Cmd: ['c'] }],
  ])('the command after %j', (lines, expected) => {
    const { Entrypoint, Cmd } = planConfig(image, { config: {}, lines });
    expect({ Entrypoint, Cmd }).toEqual({ Entrypoint: undefined, Cmd: undefined, ...expected });
  });

  test('lists are added to, the rest is replaced', () => {
    const own: FullConfig = { ...image, Volumes: { '/v': {} }, ExposedPorts: { '1/tcp': {} } };
    const config = { Env: ['A=2', 'B=3'], Labels: { m: '2' }, Volumes: { '/w': {} }, User: 'x' };
    expect(planConfig(own, { config, lines: ['EXPOSE 2'] })).toMatchObject({
      Env: ['A=2', 'B=3'],
      Labels: { l: '1', m: '2' },
      Volumes: { '/v': {}, '/w': {} },
      ExposedPorts: { '1/tcp': {}, '2/tcp': {} },
      User: 'x',
    });
  });
});

import type { ImageConfig } from '../image/config.js';
import { applyInstructions, mergeEnv, pairOf, type FullConfig } from './instructions.js';
import type { ContainerRequest } from './request.js';

/** What a container was asked to be. */
export type AskedOfContainer = Pick<ContainerRequest, 'argv' | 'entrypoint' | 'process' | 'labels'>;

/** How the container is run, in the words of an image: Docker commits that, not what its image says. */
export function configOfContainer(asked: AskedOfContainer, image: FullConfig): FullConfig {
  const { env, cwd, user } = asked.process;
  // Docker's rule: a given entrypoint makes the image's Cmd void.
  const cmd = asked.argv ?? (asked.entrypoint === undefined ? image.Cmd : undefined);
  const entrypoint = asked.entrypoint ?? image.Entrypoint;
  const { Cmd: _, Entrypoint: __, ...rest } = image;
  return {
    ...rest,
    ...(cmd === undefined ? {} : { Cmd: cmd }),
    ...(entrypoint === undefined ? {} : { Entrypoint: entrypoint }),
    Env: mergeEnv(image.Env ?? [], Object.entries(env)),
    ...(cwd === undefined ? {} : { WorkingDir: cwd }),
    ...(user === undefined ? {} : { User: user }),
    Labels: { ...image.Labels, ...asked.labels },
  };
}

export interface ConfigChanges {
  readonly config: ImageConfig;
  readonly lines: readonly string[];
}

/** The container's with what is said over it. An entrypoint that is said, and not empty, makes the container's command void. */
export function planConfig(own: FullConfig, { config, lines }: ConfigChanges): FullConfig {
  const said = applyInstructions(lines, config, own.Env ?? []);
  const merged: FullConfig = {
    ...own,
    ...said,
    Env: mergeEnv(own.Env ?? [], (said.Env ?? []).map(pairOf)),
    Labels: { ...own.Labels, ...said.Labels },
    ExposedPorts: { ...own.ExposedPorts, ...said.ExposedPorts },
    Volumes: { ...own.Volumes, ...said.Volumes },
  };
  if ((said.Entrypoint ?? []).length === 0 || said.Cmd !== undefined) return merged;
  const { Cmd: _, ...rest } = merged;
  return rest;
}

declare const READY: unique symbol;

/** When a container counts as ready. Opaque: made by the functions of the same name. */
export interface Ready {
  readonly [READY]: true;
}

const make = (kind: string, ...values: unknown[]): Ready =>
  Object.freeze({ kind, values: Object.freeze(values) }) as unknown as Ready;

/** Conditions to wait for. They can be made already; waiting for one comes with a later version. */
export const Ready = Object.freeze({
  /** Something listens on this TCP port inside. */
  port: (port: number): Ready => make('port', port),
  /** The log has this text. */
  log: (text: string | RegExp): Ready => make('log', text),
  http: (path: string, options?: { port?: number; status?: number }): Ready =>
    make('http', path, options),
  /** This command exits with 0. */
  exec: (argv: string[]): Ready => make('exec', argv),
  healthy: (): Ready => make('healthy'),
  exit: (code?: number): Ready => make('exit', code),
  all: (conditions: Ready[]): Ready => make('all', conditions),
  any: (conditions: Ready[]): Ready => make('any', conditions),
});

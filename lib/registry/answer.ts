import type { Readable } from 'node:stream';
import { CaissonError, RegistryError, type RegistryMessage } from '../errors/index.js';
import { codesOf, wantsCertificate } from './retry.js';
import type { Answer } from './transport.js';

/** Of an answer that says what went wrong; the rest of it is not read. */
const MAX_ERROR_BYTES = 64 << 10;
const MAX_MESSAGES = 16;

const CERTIFICATE_HINT =
  'Where it wants to see a certificate: `cert` and `key` of its entry in `registries`, or client.cert and client.key in /etc/docker/certs.d/HOST.';

/** How a request is called in errors. */
export interface Attempt {
  /** The registry, as a user names it. */
  readonly registry: string;
  /** For example `'pull library/alpine'`. */
  readonly action: string;
  /** What is looked for, where 404 means that it is not there. */
  readonly reference?: string;
  /** What may help when it is refused. */
  readonly hint?: string | undefined;
}

/** The answer was not what the specification or the caller's digest says. */
export function invalidAnswer(
  { registry }: Pick<Attempt, 'registry'>,
  reason: string,
): CaissonError<'ERR_REGISTRY_INVALID'> {
  return new CaissonError('ERR_REGISTRY_INVALID', { registry, reason });
}

export function unreachable(registry: string, error: unknown): CaissonError {
  const code = codesOf(error)[0];
  const message = error instanceof Error ? error.message : String(error);
  const reason = code !== undefined && !message.includes(code) ? `${message} (${code})` : message;
  // Of its refusal little more than the end of the connection may be seen.
  const mayWant = wantsCertificate(error) || code === 'UND_ERR_SOCKET';
  return new CaissonError(
    'ERR_REGISTRY_UNREACHABLE',
    { registry, reason: reason.trim() },
    { cause: error, ...(mayWant && { hint: CERTIFICATE_HINT }) },
  );
}

/** What an answer that is no success is for the caller. Reads the rest of it. */
export async function refusal(attempt: Attempt, answer: Answer): Promise<RegistryError> {
  const { registry, action, reference, hint } = attempt;
  const errors = await messagesOf(answer.body);
  const reason = errors.map(({ message, code }) => JSON.stringify(message || code)).join(', ');
  const details = {
    registry,
    action,
    status: answer.status,
    ...(reason !== '' && { reason }),
  };
  const options = hint === undefined ? {} : { hint };
  // By status: the codes of the answer are used differently by each registry.
  if (answer.status === 404 && reference !== undefined) {
    return new RegistryError('ERR_MANIFEST_NOT_FOUND', { ...details, reference }, errors, options);
  }
  const denied = answer.status === 401 || answer.status === 403;
  const code = denied ? 'ERR_REGISTRY_DENIED' : 'ERR_REGISTRY_FAILED';
  return new RegistryError(code, details, errors, options);
}

async function messagesOf(body: Readable): Promise<readonly RegistryMessage[]> {
  let document: unknown;
  try {
    document = JSON.parse((await readStart(body)).toString());
  } catch {
    return []; // a page of some proxy, or nothing
  }
  const { errors, details, message } = (document ?? {}) as Record<string, unknown>;
  const list: readonly unknown[] = Array.isArray(errors) ? errors.slice(0, MAX_MESSAGES) : [];
  const found = list
    .filter((one) => typeof one === 'object' && one !== null)
    .map((one) => one as Record<string, unknown>)
    .map((one) => ({ code: textOf(one['code']), message: textOf(one['message']) }));
  // Docker Hub and token servers have `details` or `message` alone.
  const plain = textOf(message) || textOf(details);
  return found.length > 0 || plain === '' ? found : [{ code: '', message: plain }];
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value.slice(0, 1024) : '');

async function readStart(body: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    if ((size += chunk.length) >= MAX_ERROR_BYTES) break; // which ends the stream
  }
  return Buffer.concat(chunks);
}

/** The whole body, when it is no longer than `maxBytes`. */
export async function readBody(
  attempt: Attempt,
  { body, headers }: Pick<Answer, 'body' | 'headers'>,
  maxBytes: number,
): Promise<Buffer> {
  const tooLong = (): CaissonError =>
    invalidAnswer(attempt, `an answer of more than ${maxBytes} bytes to "${attempt.action}"`);
  if (Number(headers['content-length']) > maxBytes) {
    discard(body);
    throw tooLong();
  }
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    if ((size += chunk.length) > maxBytes) throw tooLong();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

/** A JSON object. */
export function parseObject(
  attempt: Pick<Attempt, 'registry' | 'action'>,
  bytes: Uint8Array | undefined,
): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes ?? []).toString());
  } catch {
    value = undefined;
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>;
  }
  throw invalidAnswer(attempt, `the answer to "${attempt.action}" is not a JSON object`);
}

/** Nobody reads it. Its connection is given up where much is to come. */
export function discard(body: Readable): void {
  body.on('error', () => undefined);
  const { dump } = body as { dump?: (options: { limit: number }) => Promise<void> };
  if (dump === undefined) body.destroy();
  else void dump.call(body, { limit: MAX_ERROR_BYTES }).catch(() => undefined);
}

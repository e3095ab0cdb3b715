/** How often and how late a request is made again. */
export interface RetryPolicy {
  /** In all, the first one counted; of a download in a row without a byte more. */
  readonly attempts: number;
  readonly firstDelayMs: number;
  readonly longestDelayMs: number;
  /** A server that asks for more (`Retry-After`) has refused. */
  readonly longestWaitMs: number;
}

export const RETRY_POLICY: RetryPolicy = {
  attempts: 5,
  firstDelayMs: 250,
  longestDelayMs: 8_000,
  longestWaitMs: 60_000,
};

const TEMPORARY = new Set([429, 500, 502, 503, 504]);
/** Connections that broke, and names that could not be looked up now. What is wrong with a certificate stays wrong. */
const BROKEN = new Set([
  'EAI_AGAIN',
  'ECONNABORTED',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EPIPE',
  'ETIMEDOUT',
  'UND_ERR_BODY_TIMEOUT',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_RES_CONTENT_LENGTH_MISMATCH',
  'UND_ERR_SOCKET',
]);

export const isTemporary = (status: number): boolean => TEMPORARY.has(status);

/** Whether the same request may go better now: the connection broke. */
export const isBroken = (error: unknown): boolean =>
  !wantsCertificate(error) && codesOf(error).some((code) => BROKEN.has(code));

/** What a server says to who shows no certificate, or one that it does not take; of some only the end is seen. */
const REFUSED_CERTIFICATE =
  /^ERR_SSL_(?:TLSV13_ALERT_CERTIFICATE_REQUIRED|(?:TLSV1|SSLV3)_ALERT_(?:BAD_CERTIFICATE|CERTIFICATE_UNKNOWN|UNKNOWN_CA|HANDSHAKE_FAILURE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_EXPIRED))$/;

export const wantsCertificate = (error: unknown): boolean =>
  codesOf(error).some((code) => REFUSED_CERTIFICATE.test(code));

/** Its code, and those it was made of: several addresses, each with its own failure. */
export function codesOf(error: unknown): readonly string[] {
  if (!(error instanceof Error)) return [];
  const { code, cause, errors } = error as { code?: unknown; cause?: unknown; errors?: unknown };
  return [
    ...(typeof code === 'string' ? [code] : []),
    ...(Array.isArray(errors) ? errors.flatMap(codesOf) : []),
    ...codesOf(cause),
  ];
}

/** Before attempt `attempt` + 1: doubled each time, and spread, so that many do not come back at once. */
export function delayMs(attempt: number, policy: RetryPolicy, random = Math.random()): number {
  const whole = Math.min(policy.longestDelayMs, policy.firstDelayMs * 2 ** (attempt - 1));
  return whole * (0.5 + random / 2);
}

/** What `Retry-After` asks for, in milliseconds; undefined where it says nothing. */
export function retryAfterMs(header: string | undefined, now = Date.now()): number | undefined {
  if (header === undefined) return undefined;
  if (/^\s*\d+\s*$/.test(header)) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

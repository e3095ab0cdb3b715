import { createPrivateKey, randomUUID, sign, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { USER } from './docker-registry.js';
import { json, recorder, type Recorder } from './recorder.js';

/**
 * A server of tokens for docker-registry: everybody may pull from `public/`, USER may do everything. Tokens are JWTs,
 * signed by the key of `signer`.
 */
export async function tokenServer(
  signer: { readonly certificate: string; readonly key: string },
  { lifeS = 300 }: { lifeS?: number } = {},
): Promise<Recorder> {
  const key = createPrivateKey(readFileSync(signer.key));
  const der = new X509Certificate(readFileSync(signer.certificate)).raw.toString('base64');
  const basic = `Basic ${Buffer.from(`${USER.username}:${USER.password}`).toString('base64')}`;
  return await recorder(({ url, headers }, response) => {
    const { authorization } = headers;
    if (authorization !== undefined && authorization !== basic) {
      json(response, 401, { details: 'incorrect username or password' });
      return;
    }
    const known = authorization === basic;
    const query = new URL(url, 'http://x').searchParams;
    const access = query.getAll('scope').flatMap((scope) => {
      const [type = '', name = '', actions = ''] = scope.split(':');
      const granted = actions
        .split(',')
        .filter((one) => known || (one === 'pull' && name.startsWith('public/')));
      return granted.length === 0 ? [] : [{ type, name, actions: granted }];
    });
    const now = Math.floor(Date.now() / 1000);
    const text = [
      { typ: 'JWT', alg: 'ES256', x5c: [der] },
      {
        iss: 'issuer',
        sub: known ? USER.username : '',
        aud: query.get('service'),
        exp: now + lifeS,
        nbf: now - 10,
        iat: now - 10,
        jti: randomUUID(),
        access,
      },
    ]
      .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .join('.');
    const signature = sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' });
    json(response, 200, {
      token: `${text}.${signature.toString('base64url')}`,
      expires_in: lifeS,
      ...(query.get('offline_token') === 'true' && known && { refresh_token: 'identity' }),
    });
  });
}

import { invalidAnswer, parseObject } from './answer.js';
import type { RegistryHost } from './host.js';

const MAX_BYTES = 4 << 20;

export interface SearchResult {
  /** As one pulls it, without the registry. */
  readonly name: string;
  readonly description: string;
  readonly stars: number;
  /** One of Docker's own selection. */
  readonly isOfficial: boolean;
}

/** `/v1/search`: what Docker Hub and few others have. */
export async function search(
  host: RegistryHost,
  registry: string,
  term: string,
  { limit, signal }: { readonly limit: number; readonly signal?: AbortSignal | undefined },
): Promise<SearchResult[]> {
  const attempt = { registry, action: `search for ${JSON.stringify(term)}` };
  const query = new URLSearchParams({ q: term, n: String(limit) });
  const to = `../v1/search?${query.toString()}`;
  const answer = await host.send({
    method: 'GET',
    to,
    scopes: [],
    attempt,
    signal,
    atMost: MAX_BYTES,
  });
  if (answer.status !== 200) throw await host.refusal(attempt, answer);
  const { results } = parseObject(attempt, answer.bytes);
  if (!Array.isArray(results)) throw invalidAnswer(attempt, 'what it found is no list');
  return results.slice(0, limit).flatMap(resultOf);
}

function resultOf(value: unknown): SearchResult[] {
  const { name, description, star_count, is_official } = (value ?? {}) as Record<string, unknown>;
  if (typeof name !== 'string') return [];
  return [
    {
      name,
      description: typeof description === 'string' ? description : '',
      stars: typeof star_count === 'number' ? star_count : 0,
      isOfficial: is_official === true,
    },
  ];
}

/** One entry of WWW-Authenticate. */
export interface Challenge {
  /** In lower case. */
  readonly scheme: string;
  readonly parameters: ReadonlyMap<string, string>;
}

const TOKEN = /[\s,]*([\w!#$%&'*+.^`|~-]+)/y;
/** Quoted, or bare as far as sloppy servers have it. */
const VALUE = /\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))/y;

/** RFC 7235, 4.1: several challenges in one header, each with parameters, all parted by commas. */
export function parseChallenges(header: string | readonly string[] | undefined): Challenge[] {
  const text = (typeof header === 'string' ? [header] : (header ?? [])).join(', ').slice(0, 8192);
  const found: { scheme: string; parameters: Map<string, string> }[] = [];
  let position = 0;
  for (;;) {
    TOKEN.lastIndex = position;
    const name = TOKEN.exec(text)?.[1];
    if (name === undefined) return found;
    position = VALUE.lastIndex = TOKEN.lastIndex;
    const value = VALUE.exec(text);
    if (value === null) {
      found.push({ scheme: name.toLowerCase(), parameters: new Map() });
    } else {
      position = VALUE.lastIndex;
      const plain = value[1]?.replaceAll(/\\(.)/g, '$1') ?? value[2] ?? '';
      found.at(-1)?.parameters.set(name.toLowerCase(), plain);
    }
  }
}

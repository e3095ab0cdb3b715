import { invalid, kindOf } from '../errors/arguments.js';

/**
 * A line for `sh -c` from a template: the text is taken as written (`\.` stays `\.`), each value is
 * quoted as one word, an array as one word an element.
 */
export function shellLine(text: TemplateStringsArray, values: readonly unknown[]): string {
  let line = '';
  for (const [index, raw] of text.raw.entries()) {
    // The two that could not be written otherwise.
    line += raw.replaceAll('\\`', '`').replaceAll('\\${', '${');
    if (index < values.length) line += quoteValue(values[index], index);
  }
  return line;
}

function quoteValue(value: unknown, index: number): string {
  if (Array.isArray(value)) return value.map((one) => quoteOne(one, index)).join(' ');
  return quoteOne(value, index);
}

function quoteOne(value: unknown, index: number): string {
  switch (typeof value) {
    case 'string':
      return quoteWord(value, index);
    case 'number':
    case 'bigint':
    case 'boolean':
      return String(value);
    default:
      throw invalid(`value ${index + 1}`, `cannot be a word of a shell line: ${kindOf(value)}`);
  }
}

function quoteWord(word: string, index: number): string {
  if (word.includes('\0')) throw invalid(`value ${index + 1}`, 'must not contain NUL');
  if (/^[A-Za-z0-9_@%+=:,./-]+$/.test(word)) return word;
  return `'${word.replaceAll("'", "'\\''")}'`;
}

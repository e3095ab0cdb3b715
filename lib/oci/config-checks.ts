// How a config.json is read: what is absent is its default, what is not known is passed over (the runtime-spec's
// "Extensibility"), what is known and cannot be done is an error.
import { checkArray, checkString, invalid, kindOf, notYet, type Bag } from '../errors/arguments.js';

/** An object; absent and null are an empty one. */
export function section(value: unknown, option: string): Bag {
  if (value === undefined || value === null) return {};
  if (typeof value !== 'object' || Array.isArray(value)) {
    throw invalid(option, `must be an object, not ${kindOf(value)}`);
  }
  return value as Bag;
}

/** A list; absent and null are an empty one. */
export function items(value: unknown, option: string): readonly unknown[] {
  return value === undefined || value === null ? [] : checkArray(value, option);
}

export function texts(value: unknown, option: string): readonly string[] {
  return items(value, option).map((text, index) => checkString(text, `${option}[${index}]`));
}

/** What a runtime may do without must not be asked for. */
export function refuse(bag: Bag, option: string, names: readonly string[]): void {
  for (const name of names) {
    const value = bag[name];
    const empty =
      value === undefined ||
      value === null ||
      value === '' ||
      value === false ||
      (typeof value === 'object' && Object.keys(value).length === 0);
    if (!empty) throw notYet(`${option}.${name} of an OCI config`);
  }
}

/** An empty label is none, as in what Go writes. */
export function labelOf<Name extends string>(
  bag: Bag,
  option: string,
  name: Name,
  parse: (value: unknown, option: string) => string,
): { readonly [Key in Name]?: string } {
  const value = bag[name];
  if (value === undefined || value === null || value === '') return {};
  return { [name]: parse(value, `${option}.${name}`) } as { readonly [Key in Name]?: string };
}

/** The JSON form of a list, or undefined: Docker takes what is none for words. */
export function list(text: string): readonly string[] | undefined {
  if (!text.startsWith('[')) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (Array.isArray(value) && value.every((one) => typeof one === 'string')) return value;
  } catch {
    // As it says above.
  }
  return undefined;
}

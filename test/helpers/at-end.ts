import { afterEach } from 'vitest';

const undo: (() => void | Promise<void>)[] = [];

/** For the end of this test, the last one first. The file must say `undoAtEnd()`. */
export function atEnd(one: () => void | Promise<void>): void {
  undo.push(one);
}

/** After checkLeaks(), so that what is undone is not left when that looks. */
export function undoAtEnd(): void {
  afterEach(async () => {
    for (let one = undo.pop(); one !== undefined; one = undo.pop()) await one();
  });
}

/** Something long: await it for the result, iterate it for the progress. It starts at once. */
export interface Operation<T, E> extends Promise<T>, AsyncIterable<E> {}

/** One that failed before it began. Nobody awaiting it, the failure still surfaces. */
export function failedOperation<T, E>(error: unknown): Operation<T, E> {
  // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- passed on as it is
  const failed = Promise.reject<T>(error);
  return Object.assign(failed, {
    [Symbol.asyncIterator]: (): AsyncIterator<E> => ({ next: () => failed.then(unreachable) }),
  });
}

const unreachable = (): never => {
  throw new Error('an operation that has failed went on');
};

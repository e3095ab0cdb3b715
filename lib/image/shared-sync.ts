/**
 * One sync at a time, for all who wait. Who asks while one is under way shares the next: that one may have begun before
 * the last of what they have written.
 */
export class SharedSync {
  readonly #sync: () => Promise<void>;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(sync: () => Promise<void>) {
    this.#sync = sync;
  }

  /** What was written before the call is on the disk. */
  async done(): Promise<void> {
    if (this.#next === undefined) {
      if (this.#running === undefined) {
        await this.#start();
        return;
      }
      this.#next = this.#running
        .catch(() => undefined) // it was told to those who waited for it
        .then(() => {
          this.#next = undefined;
          return this.#start();
        });
    }
    await this.#next;
  }

  #start(): Promise<void> {
    const running = this.#sync().finally(() => {
      if (this.#running === running) this.#running = undefined;
    });
    this.#running = running;
    return running;
  }
}

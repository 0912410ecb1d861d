/** A job that runs once at a time; of what is asked meanwhile the latest alone is done afterwards.
 *
 * done is given each result in the order of asking, failed what went wrong, busy whether there is work. */
export function latest<Asked, Result>(
  job: (asked: Asked) => Promise<Result>,
  done: (result: Result) => void,
  failed: (error: unknown) => void,
  busy: (working: boolean) => void = () => {},
): (asked: Asked) => void {
  let running = false;
  let waiting: { asked: Asked } | null = null;
  return (asked) => {
    waiting = { asked };
    if (!running) void work();
  };

  async function work(): Promise<void> {
    running = true;
    busy(true);
    await null; // what a job reads is none of what its caller hangs on
    while (waiting) {
      const { asked } = waiting;
      waiting = null;
      try {
        done(await job(asked));
      } catch (error) {
        failed(error);
      }
    }
    running = false;
    busy(false);
  }
}

/** What a process answers to a job. */
export type Answer<T> = { readonly value: T } | { readonly failure: string }

/** Does the jobs of the parent's process, one after the other, and ends with it. */
export function serveJobs<Job, Value>(perform: (job: Job) => Promise<Value>): void {
  let last: Promise<unknown> = Promise.resolve()
  const answer = async (job: Job): Promise<Answer<Value>> => {
    try {
      return { value: await perform(job) }
    } catch (error) {
      return { failure: error instanceof Error ? (error.stack ?? error.message) : String(error) }
    }
  }
  process.on('message', (job: Job) => {
    last = last.then(async () => process.send!(await answer(job)))
  })
  process.once('disconnect', () => process.exit(0))
}

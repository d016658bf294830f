import { once } from 'node:events'
import { type Answer, type Job, perform } from './store-task.js'

/*
 * The process in which one task runs: with a heap that nothing has used before, and code that nothing has warmed. It
 * takes one job from its parent, answers, and ends; without its parent it ends at once.
 */

function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause === undefined ? '' : `: ${explain(error.cause)}`
  return `${error.message}${cause}`
}

async function answerTo(job: Job): Promise<Answer> {
  try {
    return { measurements: await perform(job) }
  } catch (error) {
    return { failure: explain(error) }
  }
}

process.once('disconnect', () => process.exit(1))
const [job] = (await once(process, 'message')) as [Job]
const answer = await answerTo(job)
process.send!(answer, () => process.exit(0))

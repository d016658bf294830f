import { KvClient } from '@quorumkv/client'
import { Flood } from './flood.js'
import type { FloodAnswer, FloodJob } from './flood-process.js'

/*
 * The process of a flood: it does one job of its parent's after the other, in the order in which they come, and ends
 * when the parent goes away.
 */

let clients: KvClient[] = []
let flood: Flood | undefined

async function perform(job: FloodJob): Promise<FloodAnswer> {
  try {
    if (job.kind === 'open') {
      const { endpoints, maxInFlight, timeoutMs, clients: count } = job
      clients = Array.from({ length: count }, () => new KvClient({ endpoints, maxInFlight, timeoutMs }))
      await Promise.all(clients.map((client) => client.ready()))
      flood = new Flood(clients, job)
      await flood.load(maxInFlight)
      return { kind: 'opened' }
    }
    if (flood === undefined) throw new Error('a stretch before the flood was opened')
    return { kind: 'ran', report: await flood.run(job.stretch) }
  } catch (error) {
    return { kind: 'failed', message: error instanceof Error ? error.message : String(error) }
  }
}

let last: Promise<unknown> = Promise.resolve()
process.on('message', (job: FloodJob) => {
  last = last.then(async () => process.send!(await perform(job)))
})
process.once('disconnect', () => process.exit(0))

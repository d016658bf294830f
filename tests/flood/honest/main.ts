import { get as httpGet } from 'node:http'
import { get as httpsGet } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import { KvClient, KvError } from '@quorumkv/client'
import { serveJobs } from '../jobs.js'
import { type HonestJob, Tally, type Told } from './job.js'

/*
 * The process of those who mean well. Operations are due at a steady rate, whatever becomes of those before; their time
 * counts from when they were due. It ends when its parent goes away.
 */

const keys = 200
const tickMs = 5
/** Every so often somebody comes who was not there before, over gRPC and over HTTP. */
const newcomerMs = 500
const httpMs = 250
/** An operation that takes longer has failed. Generous: the machine may be busy, and an attack takes what it can get. */
const patienceMs = 20_000
const bigBytes = 1_048_576

let work: Tally = new Tally()
let newcomers: Tally = new Tally()
let pages: Tally = new Tally()

function codeOf(error: unknown): string {
  if (error instanceof KvError) return error.code
  return (error as NodeJS.ErrnoException).code ?? String(error)
}

async function timed(tally: () => Tally, dueMs: number, operation: () => Promise<unknown>): Promise<void> {
  try {
    await operation()
    tally().succeeded(performance.now() - dueMs)
  } catch (error) {
    tally().failed(codeOf(error))
  }
}

type OpenJob = Extract<HonestJob, { kind: 'open' }>

/** One page over a connection of its own. */
function page({ httpPort: port, token, ca }: OpenJob, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { host: 'localhost', ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) }
    const options = { host: '127.0.0.1', port, path, headers, agent: false, timeout: patienceMs } as const
    const asked = (ca === undefined ? httpGet : httpsGet)(
      { ...options, ...(ca === undefined ? {} : { ca }) },
      (answer) => {
        answer.resume().once('end', () => {
          if (answer.statusCode === 200) resolve()
          else reject(Object.assign(new Error('refused'), { code: `HTTP ${answer.statusCode}` }))
        })
      },
    )
    asked.once('timeout', () => asked.destroy(Object.assign(new Error('no answer'), { code: 'timeout' })))
    asked.once('error', reject)
  })
}

async function open(job: OpenJob): Promise<void> {
  const tls = job.ca === undefined ? undefined : { ca: job.ca }
  const options = { endpoints: job.endpoints, timeoutMs: patienceMs, token: job.token, tls }
  const client = new KvClient(options)
  const value = Buffer.alloc(100, 'v')
  await client.put(job.bigKey, Buffer.alloc(bigBytes, 'b'))
  for (let i = 0; i < keys; i++) await client.put(`honest ${i}`, value)
  let due = 0
  let startedMs = performance.now()
  const one = (): Promise<unknown> => {
    const key = `honest ${(due * 7) % keys}`
    return due % 4 === 0 ? client.put(key, value) : client.getBytes(key)
  }
  const everyMs = 1_000 / job.perSecond
  setInterval(() => {
    const nowMs = performance.now()
    for (; startedMs + everyMs <= nowMs; startedMs += everyMs) {
      void timed(() => work, startedMs + everyMs, one)
      due++
    }
  }, tickMs)
  setInterval(() => {
    const newcomer = new KvClient(options)
    void timed(
      () => newcomers,
      performance.now(),
      () => newcomer.getBytes('honest 1'),
    ).then(() => newcomer.close())
  }, newcomerMs)
  setInterval(() => {
    void timed(
      () => pages,
      performance.now(),
      () => page(job, '/kv/honest%201'),
    )
  }, httpMs)
}

async function mark(atLeast: number): Promise<Told> {
  const endMs = performance.now() + patienceMs
  while (work.done < atLeast && performance.now() < endMs) await sleep(tickMs)
  const told = { work: work.told, newcomers: newcomers.told, pages: pages.told }
  work = new Tally()
  newcomers = new Tally()
  pages = new Tally()
  return told
}

serveJobs(async (job: HonestJob): Promise<Told> => {
  if (job.kind === 'open') await open(job)
  return await mark(job.kind === 'open' ? 0 : job.atLeast)
})

import { KvError } from '@quorumkv/internal/base'
import type { ScanPage } from '@quorumkv/internal/replication'
import type { SimCluster } from '../sim/sim-cluster.js'
import type { Answer } from './answers.js'
import type { Asked, Request } from './language.js'
import { textOf } from './messages.js'

const bytes = new TextEncoder()

/** How long a client waits for a node that is silent beyond the time that it gave it. */
const patienceMs = 500

/** One question of a client, and what it has been told. */
export class Call {
  readonly asked: Asked
  answer: Answer = { kind: 'pending' }
  readonly #answered: (call: Call) => void

  constructor(asked: Asked, answered: (call: Call) => void) {
    this.asked = asked
    this.#answered = answered
  }

  settle(answer: Answer): void {
    if (this.answer.kind !== 'pending') return
    this.answer = answer
    this.#answered(this)
  }

  /** What a client makes of a connection that breaks, or of silence: it does not know. */
  giveUp(code: 'unavailable' | 'timeout', message: string): void {
    const isRead = this.asked.request.kind === 'get' || this.asked.request.kind === 'scan'
    this.settle({ kind: 'failed', error: new KvError(code, message, isRead ? {} : { outcome: 'unknown' }) })
  }
}

/** Sends a question to its node. The call settles at the latest when the client's patience is over. */
export function ask(cluster: SimCluster, asked: Asked, answered: (call: Call) => void): Call {
  const call = new Call(asked, answered)
  if (!cluster.process(asked.node).running) {
    const error = new KvError('unavailable', `${asked.node} does not run`, { outcome: 'not-applied' })
    call.settle({ kind: 'failed', error })
    return call
  }
  perform(cluster, asked.node, asked.request).then(
    (answer) => call.settle(answer),
    (error: unknown) => {
      if (!(error instanceof KvError)) throw error
      call.settle({ kind: 'failed', error })
    },
  )
  cluster.world.after(asked.request.withinMs + patienceMs, () => call.giveUp('timeout', `${asked.node} is silent`))
  return call
}

async function perform(cluster: SimCluster, via: string, request: Request): Promise<Answer> {
  const node = cluster.node(via)
  const { level: consistency, withinMs } = request
  const options = { consistency, deadlineMs: cluster.process(via).clock.monotonicMs() + withinMs }
  switch (request.kind) {
    case 'get':
      return { kind: 'read', record: await node.get(bytes.encode(request.key), options) }
    case 'delete':
      return { kind: 'written', result: await node.delete(bytes.encode(request.key), options) }
    case 'put': {
      const { key, value, ttlMs, returnPrevious } = request
      const put = { ...options, ttlMs, returnPrevious }
      return { kind: 'written', result: await node.put(bytes.encode(key), bytes.encode(value), put) }
    }
    case 'scan': {
      const entries = new Map<string, string>()
      let cursor: Uint8Array = new Uint8Array(0)
      do {
        const prefix = bytes.encode(request.prefix)
        const page: ScanPage = await node.scan({ ...options, prefix, pageSize: 100, cursor })
        for (const { key, value } of page.records) entries.set(textOf(key), textOf(value))
        cursor = page.cursor
      } while (cursor.length > 0)
      return { kind: 'entries', entries }
    }
    default:
      return request satisfies never
  }
}

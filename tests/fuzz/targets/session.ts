import { EventEmitter } from 'node:events'
import { Metadata } from '@grpc/grpc-js'
import { SessionRequest, SessionResponse, WriteOutcome } from '@quorumkv/proto/kv/v1/kv'
import type { SessionCall } from '../../../server/src/session/session.js'
import { SessionService } from '../../../server/src/session/session-service.js'
import { clientMessages } from '../corpus.js'
import { LiveNode } from '../live-node.js'
import { mutate } from '../mutate.js'
import { Fault, type OpenTarget, type Target } from '../target.js'
import { isDecodeError } from './messages.js'

/** A session ends by itself once all of it is answered; operations of clients wait no longer. */
const answeredWithinMs = 20_000

/** A client that sends one message, says that it sends no more, and reads what comes. */
class OneMessage extends EventEmitter {
  readonly metadata = new Metadata()
  readonly answers: Buffer[] = []
  readonly ended: Promise<'in order' | 'refused'>
  #end: (how: 'in order' | 'refused') => void = () => undefined

  constructor() {
    super()
    this.ended = new Promise((resolve) => {
      this.#end = resolve
    })
    this.on('error', () => this.#end('refused'))
  }

  sendMetadata(): void {}
  pause(): void {}
  resume(): void {}
  getPeer(): string {
    return 'fuzz'
  }

  write(message: Buffer, taken: () => void): boolean {
    this.answers.push(Buffer.from(message))
    setImmediate(taken)
    return true
  }

  end(): void {
    this.#end('in order')
  }
}

/** The keys that a message may change, as the generated code reads it. */
function keysIn(input: Uint8Array): string[] {
  try {
    return SessionRequest.decode(input).operations.flatMap(({ request }) =>
      request?.$case === 'put' || request?.$case === 'delete'
        ? [Buffer.from(request.value.key).toString('latin1')]
        : [],
    )
  } catch (error) {
    if (!isDecodeError(error)) throw error
    return []
  }
}

/** Whether anything in the answers says that a write was, or may have been, applied. */
function writesIn(answers: readonly Buffer[]): boolean {
  return answers
    .flatMap((answer) => SessionResponse.decode(answer).results)
    .some(({ outcome: result }) => {
      if (result?.$case === 'error') return result.value.writeOutcome === WriteOutcome.UNKNOWN
      return result?.$case === 'put' || result?.$case === 'delete'
    })
}

/** `alter` stands for a fault in the server that a test plants: it happens with each case. */
export async function openSessions(alter?: (live: LiveNode) => Promise<unknown>): Promise<OpenTarget> {
  const live = await LiveNode.start()
  const sessions = new SessionService(live.context)
  const corpus = clientMessages()
  const mayBe = new Set<string>()
  return {
    make: (random) => mutate(random, corpus),
    run: async (input) => {
      const before = live.digest
      for (const key of keysIn(input)) mayBe.add(key)
      const call = new OneMessage()
      sessions.serve(call as unknown as SessionCall)
      call.emit('data', Buffer.from(input))
      call.emit('end')
      let late: NodeJS.Timeout | undefined
      const given = new Promise<never>((_, reject) => {
        late = setTimeout(() => reject(new Fault('not everything was answered')), answeredWithinMs)
      })
      const how = await Promise.race([call.ended, given])
      clearTimeout(late)
      call.emit('close')
      await alter?.(live)
      live.checkAlive()
      const wrote = writesIn(call.answers)
      if (!wrote && live.digest !== before) throw new Fault('something is stored, and no answer says so')
      return how === 'in order' && wrote ? 'taken' : 'refused'
    },
    settle: () => live.check((key) => mayBe.has(key)),
    close: () => live[Symbol.asyncDispose](),
  }
}

/** Whole messages of a session put to a node that serves: what it stores must be what they say. */
export const session: Target = { name: 'session', share: 50, keptBytesPerCase: 1_000, open: () => openSessions() }

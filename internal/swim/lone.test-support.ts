import { type NodeId, parseAddress, parseNodeId } from '../base/index.js'
import { SimRandom } from '../env-sim/index.js'
import type { OutgoingMessage, SwimEvent, SwimMember, SwimOptions, SwimOutput } from './face.js'
import { aliveRumour } from './members.js'
import type { MessageKind, Rumour, SwimMessage } from './messages.js'
import { Swim } from './swim.js'

export const noMeta: Uint8Array = new Uint8Array()

export function memberOf(number: number): SwimMember {
  return { id: parseNodeId(`n${number}`), number, address: parseAddress(`10.0.0.${number}:1`, 'address') }
}

/** Node 1 alone, with the test as all the others and as the clock. */
export class Lone {
  readonly swim: Swim
  readonly sent: OutgoingMessage[] = []
  readonly events: SwimEvent[] = []
  nowMs = 0

  constructor(nodes: number, options: Partial<SwimOptions> = {}) {
    const settings = {
      probeIntervalMs: 1000,
      probeTimeoutMs: 500,
      suspicionMult: 4,
      gossipIntervalMs: 200,
      gossipFanout: 3,
    }
    this.swim = new Swim({
      ...settings,
      self: memberOf(1),
      random: new SimRandom(1),
      refutation: 1,
      nowMs: 0,
      ...options,
    })
    this.members(...Array.from({ length: nodes }, (_, at) => at + 1))
  }

  members(...numbers: readonly number[]): void {
    this.swim.setMembers(this.nowMs, numbers.map(memberOf))
  }

  /** Ticks until `forMs` have passed, or something of this kind is sent, which it returns. */
  until(kind: MessageKind, forMs: number): OutgoingMessage | undefined {
    for (const endMs = this.nowMs + forMs; this.nowMs < endMs; ) {
      this.nowMs += 50
      const found = this.take(this.swim.tick(this.nowMs)).find(({ message }) => message.kind === kind)
      if (found !== undefined) return found
    }
    return undefined
  }

  run(forMs: number): void {
    for (const endMs = this.nowMs + forMs; this.nowMs < endMs; ) {
      this.nowMs += 50
      this.take(this.swim.tick(this.nowMs))
    }
  }

  take({ messages, events }: SwimOutput): readonly OutgoingMessage[] {
    this.sent.push(...messages)
    this.events.push(...events)
    return messages
  }

  receive(
    from: number,
    kind: MessageKind,
    fields: Partial<SwimMessage> = {},
    id: NodeId = memberOf(from).id,
  ): readonly OutgoingMessage[] {
    const { address } = memberOf(from)
    const empty = { seq: 0, number: from, refutation: 1, address, target: 0, rumours: [], digest: [], wanted: [] }
    return this.take(this.swim.received(this.nowMs, id, { ...empty, kind, ...fields }))
  }

  /** Says something about members, as the member `from`. */
  tell(from: number, ...rumours: readonly Rumour[]): readonly OutgoingMessage[] {
    return this.receive(from, 'gossip', { rumours })
  }

  /** The others have spoken for themselves once. */
  greet(...numbers: readonly number[]): void {
    for (const number of numbers) this.tell(number, aliveRumour(number, 1, memberOf(number).address, noMeta))
    this.events.length = 0
  }

  /** Answers every ping of the next `forMs`, except those to `silent`. */
  answer(forMs: number, ...silent: readonly number[]): void {
    for (const endMs = this.nowMs + forMs; this.nowMs < endMs; ) {
      const ping = this.until('ping', 50)
      const target = ping?.message.target
      if (target !== undefined && !silent.includes(target))
        this.receive(target, 'ack', { seq: ping!.message.seq, target })
    }
  }

  kinds(): string[] {
    return this.events.map(({ kind, number }) => `${kind} ${number}`)
  }
}

export const numbersOf = (messages: readonly OutgoingMessage[]): number[] =>
  messages.map(({ to }) => Number(to.slice(1)))
export const about = (number: number, messages: readonly OutgoingMessage[]): Rumour[] =>
  messages.flatMap(({ message }) => message.rumours.filter((rumour) => rumour.number === number))

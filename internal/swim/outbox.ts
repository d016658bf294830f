import { assert, limits, type NodeId } from '../base/index.js'
import type { OutgoingMessage, SwimEvent, SwimOutput } from './face.js'
import { type MemberState, type MemberTable, statusRumour } from './members.js'
import { type MessageKind, messageBytes, type Rumour, rumourBytes, type SwimMessage } from './messages.js'
import type { OwnState } from './own-state.js'
import { RumourQueue } from './rumour-queue.js'

/** What a message holds besides its head. */
export type MessageFields = Partial<Pick<SwimMessage, 'seq' | 'target' | 'rumours' | 'digest' | 'wanted'>>

/** What one call leads to, gathered: messages, with the rumours that travel along, and events. */
export class Outbox {
  /** What waits to be passed on. */
  readonly queue: RumourQueue = new RumourQueue()
  /** The message that is being answered, if any. */
  answering: SwimMessage | undefined
  readonly #self: OwnState
  readonly #members: MemberTable
  #messages: OutgoingMessage[] = []
  #events: SwimEvent[] = []

  constructor(self: OwnState, members: MemberTable) {
    this.#self = self
    this.#members = members
    this.queue.put(self.rumour)
  }

  event(kind: SwimEvent['kind'], { id, number }: MemberState): void {
    this.#events.push({ kind, id, number })
  }

  /** Any message brings rumours along: first what its receiver has to know about itself, or about this node. */
  send(to: MemberState, kind: MessageKind, fields: MessageFields = {}): void {
    const told = fields.rumours ?? []
    const first = [...told]
    const add = (rumour: Rumour | undefined): void => {
      if (rumour !== undefined && !first.some(({ number }) => number === rumour.number)) first.push(rumour)
    }
    if (to.status !== 'alive' || to.behind) add(statusRumour(to))
    if (to.owed) add(this.#self.rumour)
    to.behind = false
    to.owed = false
    const extra = first.slice(told.length).reduce((bytes, rumour) => bytes + rumourBytes(rumour), 0)
    const members = this.#members.all.length + 1
    const rest = this.queue.take(to.number, first, limits.swimPiggybackBytesMax - extra, members)
    // Who has moved is answered where it is now, also while it does not know yet how to make itself believed.
    const address = this.answering?.number === to.number ? this.answering.address : to.address
    this.sendTo(to.id, address, kind, { ...fields, rumours: [...first, ...rest] })
  }

  /** To a node that need not be a member: nothing travels along. */
  sendTo(to: NodeId, address: string, kind: MessageKind, fields: MessageFields): void {
    const { seq = 0, target = 0, rumours = [], digest = [], wanted = [] } = fields
    const { member, refutation } = this.#self
    const head = { kind, seq, number: member.number, refutation, address: member.address, target }
    const message = { ...head, rumours, digest, wanted }
    assert(messageBytes(message) <= limits.swimMessageBytesMax, 'a message of the failure detector is too large')
    this.#messages.push({ to, address, message })
  }

  /** All that was gathered since the last time. */
  flush(): SwimOutput {
    const output = { messages: this.#messages, events: this.#events }
    this.#messages = []
    this.#events = []
    return output
  }
}

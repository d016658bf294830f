import { type Address, parseAddress, parseNodeId } from '@quorumkv/internal/base'
import { SimRandom } from '@quorumkv/internal/env-sim'
import {
  type MemberStatus,
  messageBytes,
  Swim,
  type SwimEvent,
  type SwimMember,
  type SwimMessage,
  type SwimOptions,
  type SwimOutput,
  type SwimSettings,
} from '@quorumkv/internal/swim'

/** What the nodes of a model run with unless told otherwise: the defaults of `kv-server`. */
export const defaultSettings: SwimSettings = {
  probeIntervalMs: 1000,
  probeTimeoutMs: 500,
  suspicionMult: 4,
  gossipIntervalMs: 200,
  gossipFanout: 3,
}

/** How often a node of the model is called. */
const tickMs = 50

export interface ModelOptions {
  readonly nodes: number
  readonly seed: string | number
  /** How likely a message is to be lost, and to come twice. */
  readonly loss?: number
  readonly twice?: number
  /** A message takes from the first to the second, so that they overtake each other. */
  readonly delayMs?: readonly [number, number]
  readonly settings?: Partial<SwimSettings>
}

/** An event at one of the nodes. */
export interface ModelEvent extends SwimEvent {
  readonly atMs: number
  readonly by: number
}

/** A node of the model; its number in the topology is its place. */
interface ModelNode {
  member: SwimMember
  swim: Swim | undefined
  /** Bumped when its process ends: what belongs to an earlier one is not delivered. */
  life: number
  pausedUntilMs: number
  /** What has come while it was paused. */
  inbox: { readonly from: SwimMember; readonly message: SwimMessage }[]
  /** Nodes of other groups cannot be reached. */
  group: number
}

/** What all nodes have sent. */
export interface Traffic {
  messages: number
  bytes: number
  largestBytes: number
}

/**
 * Nodes with nothing but the failure detector, in virtual milliseconds, on a network that loses, delays, copies and
 * parts. A process may end, begin anew, or be paused, in which case its clock goes on, and what was sent to it waits: it
 * is read only after its first tick, as timers run before sockets. Everything follows from the seed.
 */
export class SwimModel {
  readonly events: ModelEvent[] = []
  /** Suspicions that there were, each once however many have heard of it: whom, and which of its refutations. */
  readonly suspicions: Set<string> = new Set()
  readonly traffic: Traffic = { messages: 0, bytes: 0, largestBytes: 0 }
  nowMs = 0
  loss: number
  /** Whether this message is lost, besides what chance takes. */
  cut: (from: number, to: number, message: SwimMessage) => boolean = () => false
  readonly #nodes: ModelNode[]
  readonly #options: ModelOptions
  readonly #random: SimRandom
  readonly #due = new Map<number, (() => void)[]>()

  constructor(options: ModelOptions) {
    this.#options = options
    this.loss = options.loss ?? 0
    this.#random = new SimRandom(options.seed)
    this.#nodes = Array.from({ length: options.nodes }, (_, number) => ({
      member: memberOf(number + 1),
      swim: undefined,
      life: 0,
      pausedUntilMs: 0,
      inbox: [],
      group: 0,
    }))
    for (let number = 1; number <= options.nodes; number++) this.start(number)
  }

  get members(): readonly SwimMember[] {
    return this.#nodes.map(({ member }) => member)
  }

  swim(number: number): Swim {
    const { swim } = this.#node(number)
    if (swim === undefined) throw new Error(`node ${number} is down`)
    return swim
  }

  /** Whether it is there and works. */
  isUp(number: number): boolean {
    const { swim, pausedUntilMs } = this.#node(number)
    return swim !== undefined && pausedUntilMs <= this.nowMs
  }

  /** What one node thinks of another. */
  status(by: number, about: number): MemberStatus | undefined {
    return this.swim(by).member(about)?.status
  }

  /** Whether all that are up, but `about` itself, have this opinion of it. */
  allThink(about: number, status: MemberStatus): boolean {
    return this.#nodes.every(({ member: { number } }) => {
      return number === about || !this.isUp(number) || this.status(number, about) === status
    })
  }

  nobodyThinks(about: number, status: MemberStatus): boolean {
    return !this.#nodes.some(({ member: { number } }) => {
      return number !== about && this.isUp(number) && this.status(number, about) === status
    })
  }

  /** Whether everybody that is up holds everybody for alive. */
  allWell(): boolean {
    return this.#nodes.every(({ member }) => this.allThink(member.number, 'alive'))
  }

  /** A new process on the node, which remembers nothing. */
  start(number: number, options: Partial<SwimOptions> = {}): void {
    const node = this.#node(number)
    const life = ++node.life
    const random = this.#random.fork(`node ${number}/${life}`)
    const base = { ...defaultSettings, ...this.#options.settings, self: node.member, random, nowMs: this.nowMs }
    node.swim = new Swim({ ...base, ...options })
    node.swim.setMembers(this.nowMs, this.members)
    this.#at(this.nowMs + random.below(tickMs), () => this.#tick(node, life))
  }

  kill(number: number): void {
    const node = this.#node(number)
    node.swim = undefined
    node.life++
    node.inbox = []
    node.pausedUntilMs = 0
  }

  leave(number: number): void {
    this.#after(this.#node(number), this.swim(number).leave(this.nowMs))
    this.kill(number)
  }

  pause(number: number, forMs: number): void {
    this.#node(number).pausedUntilMs = this.nowMs + forMs
  }

  /** From its next start on it is reached at this address. The topology of the others goes on naming the old one. */
  move(number: number, address: Address): void {
    const node = this.#node(number)
    node.member = { ...node.member, address }
  }

  /** Nodes reach those of their own group only; who is in none is in the first. */
  part(...groups: readonly (readonly number[])[]): void {
    for (const node of this.#nodes)
      node.group = Math.max(
        0,
        groups.findIndex((group) => group.includes(node.member.number)),
      )
  }

  heal(): void {
    this.part()
  }

  run(forMs: number): void {
    this.runUntil(() => false, forMs)
  }

  /** Lets time pass until the condition holds, looking every `tickMs`; false: it did not within `forMs`. */
  runUntil(condition: () => boolean, forMs: number): boolean {
    const endMs = this.nowMs + forMs
    while (this.nowMs < endMs) {
      if (this.nowMs % tickMs === 0 && condition()) return true
      const due = this.#due.get(this.nowMs)
      // What is due may make more due at the same moment.
      for (let at = 0; due !== undefined && at < due.length; at++) due[at]!()
      this.#due.delete(this.nowMs)
      this.nowMs++
    }
    return condition()
  }

  #node(number: number): ModelNode {
    const node = this.#nodes[number - 1]
    if (node === undefined) throw new Error(`there is no node ${number}`)
    return node
  }

  #at(atMs: number, task: () => void): void {
    const due = this.#due.get(atMs)
    if (due === undefined) this.#due.set(atMs, [task])
    else due.push(task)
  }

  #tick(node: ModelNode, life: number): void {
    if (node.life !== life || node.swim === undefined) return
    if (node.pausedUntilMs > this.nowMs) {
      this.#at(node.pausedUntilMs, () => this.#tick(node, life))
      return
    }
    this.#after(node, node.swim.tick(this.nowMs))
    const inbox = node.inbox
    node.inbox = []
    for (const { from, message } of inbox) this.#after(node, node.swim.received(this.nowMs, from.id, message))
    this.#at(this.nowMs + tickMs, () => this.#tick(node, life))
  }

  #after(node: ModelNode, { messages, events }: SwimOutput): void {
    const { nowMs } = this
    for (const event of events) {
      this.events.push({ ...event, atMs: nowMs, by: node.member.number })
      const refutation = node.swim?.member(event.number)?.refutation
      if (event.kind === 'suspect') this.suspicions.add(`${event.number}/${refutation}`)
    }
    for (const { address, message } of messages) {
      const bytes = messageBytes(message)
      this.traffic.messages++
      this.traffic.bytes += bytes
      this.traffic.largestBytes = Math.max(this.traffic.largestBytes, bytes)
      this.#post(node, address, message)
      if (this.#random.chance(this.#options.twice ?? 0)) this.#post(node, address, message)
    }
  }

  #post(from: ModelNode, address: string, message: SwimMessage): void {
    if (this.#random.chance(this.loss)) return
    const [low, high] = this.#options.delayMs ?? [1, 3]
    const delayMs = 1 + low + this.#random.below(high - low + 1)
    this.#at(this.nowMs + delayMs, () => {
      const to = this.#nodes.find(({ member }) => member.address === address)
      if (to?.swim === undefined || to.group !== from.group) return
      if (this.cut(from.member.number, to.member.number, message)) return
      if (to.pausedUntilMs > this.nowMs) to.inbox.push({ from: from.member, message })
      else this.#after(to, to.swim.received(this.nowMs, from.member.id, message))
    })
  }
}

export function memberOf(number: number): SwimMember {
  return { id: parseNodeId(`n${number}`), number, address: parseAddress(`10.0.0.${number}:50051`, 'address') }
}

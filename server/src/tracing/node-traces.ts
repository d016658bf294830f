import type {
  ErrorCode,
  NodeId,
  OperationTrace,
  PartTrace,
  TracedOperation,
  TracedPart,
  TraceWatch,
} from '@quorumkv/internal/base'
import type { Clock } from '@quorumkv/internal/env'
import { isSampled, isTraceparent } from '../calls/request-name.js'
import {
  type OwnerTrace,
  operationChannel,
  replicaChannel,
  type ServerOperationTrace,
  type ServerReplicaTrace,
} from './channels.js'

/** Answers of an owner that did its part: every other one says what went wrong. */
const goodAnswers: ReadonlySet<string> = new Set(['applied', 'stale', 'held', 'absent', 'refilling'])

/** Tells the channels what one node does. */
export class NodeTraces implements TraceWatch {
  readonly #clock: Clock
  readonly #node: () => string

  /** `node`: its id, which it may learn from its data directory; empty: it does not know it yet. */
  constructor(clock: Clock, node: () => string) {
    this.#clock = clock
    this.#node = node
  }

  get listensToOperations(): boolean {
    return operationChannel.hasSubscribers
  }

  get listensToParts(): boolean {
    return replicaChannel.hasSubscribers
  }

  operation(begun: TracedOperation): OperationTrace {
    const told = new ToldOperation(this.#node(), begun)
    if (operationChannel.hasSubscribers) {
      operationChannel.start.publish(told)
      operationChannel.end.publish(told)
    }
    return new FollowedOperation(this, this.#clock, told)
  }

  part(begun: TracedPart): PartTrace {
    const told = new ToldPart(this.#node(), begun)
    replicaChannel.start.publish(told)
    replicaChannel.end.publish(told)
    return new FollowedPart(this.#clock, told)
  }
}

interface ToldOwner extends OwnerTrace {
  asked: number
  answeredMs: number | undefined
  answer: string | undefined
}

/** As subscribers get it. */
class ToldOperation implements ServerOperationTrace {
  readonly node: string
  readonly operation: ServerOperationTrace['operation']
  readonly consistency: ServerOperationTrace['consistency']
  readonly slot: number | undefined
  readonly bytes: number
  readonly requestId: string
  readonly traceparent: string
  readonly sampled: boolean
  readonly owners: ToldOwner[] = []
  attempts = 0
  durationMs: number | undefined = undefined
  outcome: string | undefined = undefined
  /** What owners are told. */
  #propagated: string

  constructor(node: string, { kind, level, slot, bytes, request }: TracedOperation) {
    this.node = node
    this.operation = kind
    this.consistency = level
    this.slot = slot
    this.bytes = bytes
    this.requestId = request?.requestId ?? ''
    this.traceparent = request?.traceparent ?? ''
    this.sampled = request?.sampled === true
    this.#propagated = this.sampled ? this.traceparent : ''
  }

  get propagated(): string {
    return this.#propagated
  }

  propagate(traceparent: string): void {
    this.#propagated = isTraceparent(traceparent) && isSampled(traceparent) ? traceparent : ''
  }
}

class FollowedOperation implements OperationTrace {
  readonly traceparent: string
  readonly #node: NodeTraces
  readonly #clock: Clock
  readonly #told: ToldOperation
  readonly #startedMs: number

  constructor(node: NodeTraces, clock: Clock, told: ToldOperation) {
    this.traceparent = told.propagated
    this.#node = node
    this.#clock = clock
    this.#told = told
    this.#startedMs = clock.monotonicMs()
  }

  attempted(): void {
    this.#told.attempts++
  }

  asked(owner: NodeId): void {
    const told = this.#told.owners.find(({ node }) => node === owner)
    if (told !== undefined) told.asked++
    else {
      const askedMs = this.#clock.monotonicMs() - this.#startedMs
      this.#told.owners.push({ node: owner, asked: 1, askedMs, answeredMs: undefined, answer: undefined })
    }
  }

  answered(owner: NodeId, answer: string): void {
    const told = this.#told.owners.find(({ node }) => node === owner)
    if (told === undefined) return
    told.answeredMs = this.#clock.monotonicMs() - this.#startedMs
    told.answer = answer
  }

  here(part: Pick<TracedPart, 'kind' | 'bytes' | 'isRepair'>): PartTrace | undefined {
    if (!this.#node.listensToParts) return undefined
    return this.#node.part({ ...part, coordinator: this.#told.node, traceparent: this.traceparent })
  }

  ended(code: ErrorCode | undefined): void {
    const told = this.#told
    told.durationMs = this.#clock.monotonicMs() - this.#startedMs
    told.outcome = code ?? 'ok'
    if (!operationChannel.hasSubscribers) return
    if (code !== undefined) operationChannel.error.publish(told)
    operationChannel.asyncStart.publish(told)
    operationChannel.asyncEnd.publish(told)
  }
}

/** As subscribers get it. */
class ToldPart implements ServerReplicaTrace {
  readonly node: string
  readonly operation: ServerReplicaTrace['operation']
  readonly peer: string
  readonly bytes: number
  readonly repair: boolean
  readonly traceparent: string
  readonly sampled: boolean
  durationMs: number | undefined = undefined
  logMs: number | undefined = undefined
  answer: string | undefined = undefined

  constructor(node: string, { kind, coordinator, bytes, isRepair, traceparent }: TracedPart) {
    const known = isTraceparent(traceparent)
    this.node = node
    this.operation = kind
    this.peer = coordinator
    this.bytes = bytes
    this.repair = isRepair
    this.traceparent = known ? traceparent : ''
    this.sampled = known && isSampled(traceparent)
  }
}

class FollowedPart implements PartTrace {
  readonly #clock: Clock
  readonly #told: ToldPart
  readonly #startedMs: number

  constructor(clock: Clock, told: ToldPart) {
    this.#clock = clock
    this.#told = told
    this.#startedMs = clock.monotonicMs()
  }

  ended(answer: string): void {
    const told = this.#told
    told.answer = answer
    told.durationMs = this.#clock.monotonicMs() - this.#startedMs
    if (told.operation !== 'get') told.logMs = told.durationMs
    if (!goodAnswers.has(answer)) replicaChannel.error.publish(told)
    replicaChannel.asyncStart.publish(told)
    replicaChannel.asyncEnd.publish(told)
  }
}

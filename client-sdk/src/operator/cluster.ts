import { ClusterService, type RepairRequest, type RepairResponse } from '@quorumkv/proto/kv/v1/cluster'
import { CallError } from '../call.js'
import { keyBytes } from '../collection/codec.js'
import { asKvError, invalidArgument, KvError } from '../errors.js'
import { limits } from '../limits.js'
import { checkWhole } from '../options.js'
import { callTimeoutMs } from '../requests.js'
import type { Dispatcher } from '../session/dispatcher.js'
import { backoffMs } from '../session/retry.js'
import type { Session } from '../session/session.js'
import type { UnaryMethod } from '../session/transport.js'
import { checkEndpoint } from '../topology/endpoints.js'
import { hashOf, repairOf, snapshotOf, statusOf, type TopologyView } from '../topology/topology.js'
import type { CallOptions, Key } from '../types.js'
import type {
  ClusterStatus,
  MemberStatus,
  Partition,
  RepairOptions,
  RepairProgress,
  SnapshotTaken,
} from './cluster-types.js'

/** The calls that look at the cluster and not at keys. */
export class ClusterCalls {
  private readonly dispatcher: Dispatcher

  constructor(dispatcher: Dispatcher) {
    this.dispatcher = dispatcher
  }

  async status(endpoint: string | undefined, options: CallOptions): Promise<ClusterStatus> {
    const endAt = this.endOf(options)
    const { nodes, lifetime } = this.dispatcher
    if (endpoint !== undefined) return await this.statusOf(checkEndpoint(endpoint, 'endpoint'), endAt, options)
    let lastError: KvError | undefined
    for (const { address } of nodes.candidates()) {
      const attemptEndAt = Math.min(endAt, performance.now() + limits.topologyAttemptMs)
      if (attemptEndAt <= performance.now()) break
      try {
        return await this.statusOf(address, attemptEndAt, options)
      } catch (error) {
        lifetime.check()
        lastError = asKvError(error)
        if (lastError.code === 'cancelled') throw lastError
      }
    }
    throw lastError ?? timeoutError('no node gave its status', undefined)
  }

  async statusAll(options: CallOptions): Promise<MemberStatus[]> {
    const endAt = this.endOf(options)
    const { members } = await this.topologyBy(endAt, options)
    const ask = async (address: string, id: string): Promise<MemberStatus> => {
      try {
        const status = await this.statusOf(this.dispatcher.nodes.reachedAt(address), endAt, options)
        return { ok: true, address, id, status }
      } catch (error) {
        return { ok: false, address, id, error: asKvError(error) }
      }
    }
    return await Promise.all(members.map(({ address, id }) => ask(address, id)))
  }

  async snapshot(endpoint: string | undefined, options: CallOptions): Promise<SnapshotTaken> {
    const endAt = this.endOf(options)
    const session = await this.sessionFor(endpoint, endAt, options)
    const answer = session.unary(ClusterService.snapshot, {}, endAt)
    const late = (): KvError => timeoutError(`${session.address}: did not take a snapshot`, undefined)
    return snapshotOf(await this.within(answer, endAt, options, late))
  }

  async *repair(endpoint: string | undefined, options: RepairOptions): AsyncGenerator<RepairProgress, void, void> {
    const endAt = this.endOf(options)
    const request = repairRequest(options)
    const { address } = await this.sessionFor(endpoint, endAt, options)
    let response = await this.repairAt(address, request, endAt, options)
    yield repairOf(response)
    while (!response.done) {
      await this.dispatcher.lifetime.pause(limits.repairPollMs, options.signal)
      response = await this.repairProgress(address, response.repairId, options)
      yield repairOf(response)
    }
  }

  async topology(options: CallOptions): Promise<TopologyView> {
    return await this.topologyBy(this.endOf(options), options)
  }

  async partition<K extends Key>(key: K, options: CallOptions): Promise<Partition<K>> {
    const hash = hashOf(keyBytes(key))
    const view = await this.topology(options)
    const slot = view.slotOf(hash)
    return { key, hash, slot, owners: view.owners(slot) }
  }

  async ready(options: CallOptions): Promise<void> {
    const endAt = this.endOf(options)
    let lastError: KvError | undefined
    for (let failures = 0; ; failures++) {
      const failure = await this.notReady(endAt, options)
      if (failure === undefined) return
      if (!failure.retryable) throw failure
      const remainingMs = endAt - performance.now()
      // Timers count whole milliseconds. An attempt that was cut off by the deadline says less than the one before.
      const over = remainingMs < 1
      if (!over || lastError === undefined) lastError = failure
      if (over) throw timeoutError('the cluster did not become ready', lastError)
      const pauseMs = limits.retryMsMin + backoffMs(failures, limits.retryMsMin, limits.retryMsMax)
      await this.dispatcher.lifetime.pause(Math.min(remainingMs, pauseMs), options.signal)
    }
  }

  /** Undefined: the topology is known and a majority of the members answers. */
  private async notReady(endAt: number, options: CallOptions): Promise<KvError | undefined> {
    try {
      return await this.quorumMissing(await this.topologyBy(endAt, options), endAt, options)
    } catch (error) {
      this.dispatcher.lifetime.check()
      return asKvError(error)
    }
  }

  private async quorumMissing(view: TopologyView, endAt: number, options: CallOptions): Promise<KvError | undefined> {
    const attemptEndAt = Math.min(endAt, performance.now() + limits.topologyAttemptMs)
    const errors: KvError[] = []
    const ask = async (address: string): Promise<void> => {
      try {
        await this.statusOf(this.dispatcher.nodes.reachedAt(address), attemptEndAt, options)
      } catch (error) {
        errors.push(asKvError(error))
      }
    }
    await Promise.all(view.members.map(({ address }) => ask(address)))
    const answering = view.members.length - errors.length
    if (answering > view.members.length / 2) return undefined
    const message = `${answering} of ${view.members.length} members answer`
    return errors.find(({ retryable }) => !retryable) ?? new KvError('unavailable', message, { cause: errors[0] })
  }

  private endOf(options: CallOptions): number {
    const endAt = performance.now() + callTimeoutMs(options, this.dispatcher.config)
    this.dispatcher.lifetime.check()
    return endAt
  }

  private topologyBy(endAt: number, options: CallOptions): Promise<TopologyView> {
    return this.dispatcher.lifetime.within(
      this.dispatcher.topology.fetch(),
      endAt - performance.now(),
      options.signal,
      () => timeoutError('no node gave the topology', undefined),
    )
  }

  private async statusOf(address: string, endAt: number, options: CallOptions): Promise<ClusterStatus> {
    const answer = this.dispatcher.nodes.session(address).unary(ClusterService.status, {}, endAt)
    const late = (): KvError => timeoutError(`${address}: did not give its status`, undefined)
    return statusOf(await this.within(answer, endAt, options, late))
  }

  private repairAt(
    address: string,
    request: RepairRequest,
    endAt: number,
    options: CallOptions,
  ): Promise<RepairResponse> {
    const answer = this.dispatcher.nodes.session(address).unary(ClusterService.repair, request, endAt)
    const late = (): KvError => timeoutError(`${address}: did not tell of its repair`, undefined)
    return this.within(answer, endAt, options, late)
  }

  /** Asks until there is an answer: a connection that breaks does not end a repair. */
  private async repairProgress(address: string, repairId: bigint, options: CallOptions): Promise<RepairResponse> {
    const endAt = this.endOf(options)
    for (let failures = 0; ; failures++) {
      try {
        return await this.repairAt(address, { repairId, node: '' }, endAt, options)
      } catch (error) {
        const failure = asKvError(error)
        const remainingMs = endAt - performance.now()
        if (!failure.retryable || remainingMs < 1) throw failure
        const pauseMs = limits.retryMsMin + backoffMs(failures, limits.retryMsMin, limits.retryMsMax)
        await this.dispatcher.lifetime.pause(Math.min(remainingMs, pauseMs), options.signal)
      }
    }
  }

  /** As `Lifetime.pause`. */
  async pause(ms: number, options: CallOptions): Promise<void> {
    await this.dispatcher.lifetime.pause(ms, options.signal)
  }

  /** Asks one node, at an address as the cluster knows it or as it is reached from here. */
  async at<Req, Res>(
    endpoint: string,
    method: UnaryMethod<Req, Res>,
    request: Req,
    options: CallOptions,
  ): Promise<Res> {
    const endAt = this.endOf(options)
    const session = await this.sessionFor(endpoint, endAt, options)
    const late = (): KvError => timeoutError(`${session.address}: did not answer`, undefined)
    return await this.within(session.unary(method, request, endAt), endAt, options, late)
  }

  /** Asks one node after the other until one does not say that it cannot: for what any node can do, and may be done twice. */
  async anyOf<Req, Res>(method: UnaryMethod<Req, Res>, request: Req, options: CallOptions): Promise<Res> {
    const endAt = this.endOf(options)
    let lastError: KvError | undefined
    // Of a node that was reached: it says more than that another one was not. The soonest of those that say when to come again.
    let answer: KvError | undefined
    for (const session of this.dispatcher.nodes.candidates()) {
      if (performance.now() >= endAt) break
      const late = (): KvError => timeoutError(`${session.address}: did not answer`, lastError)
      try {
        return await this.within(session.unary(method, request, endAt), endAt, options, late)
      } catch (error) {
        this.dispatcher.lifetime.check()
        lastError = asKvError(error)
        if (!lastError.retryable) throw lastError
        if (lastError.cause instanceof CallError) answer = sooner(answer, lastError)
      }
    }
    throw answer ?? lastError ?? timeoutError('no node answered', undefined)
  }

  /** The one that is named, or any that can be reached. */
  private async sessionFor(endpoint: string | undefined, endAt: number, options: CallOptions): Promise<Session> {
    const { nodes } = this.dispatcher
    if (endpoint === undefined) return await this.anySession(endAt, options)
    return nodes.session(nodes.reachedAt(checkEndpoint(endpoint, 'endpoint')))
  }

  /** The first node, of those worth asking, that takes a connection. */
  private async anySession(endAt: number, options: CallOptions): Promise<Session> {
    const { nodes, lifetime } = this.dispatcher
    let lastError: unknown
    for (const session of nodes.candidates()) {
      try {
        await this.within(session.connected(), endAt, options, () => timeoutError('no node was reached', undefined))
        return session
      } catch (error) {
        lifetime.check()
        lastError = error
        if (performance.now() >= endAt || asKvError(error).code === 'cancelled') break
      }
    }
    throw asKvError(lastError)
  }

  private within<T>(answer: Promise<T>, endAt: number, options: CallOptions, late: () => KvError): Promise<T> {
    return this.dispatcher.lifetime.within(answer, endAt - performance.now(), options.signal, late)
  }
}

function sooner(one: KvError | undefined, other: KvError): KvError {
  return one?.retryAfterMs !== undefined && one.retryAfterMs <= (other.retryAfterMs ?? Number.POSITIVE_INFINITY)
    ? one
    : other
}

function repairRequest({ slot, node }: RepairOptions): RepairRequest {
  if (node !== undefined && (typeof node !== 'string' || node === '')) {
    throw invalidArgument('node', 'must be the id of a member')
  }
  const checked = slot === undefined ? undefined : checkWhole(slot, 'slot', 0, limits.slotsMax - 1)
  return { repairId: 0n, slot: checked, node: node ?? '' }
}

function timeoutError(what: string, cause: KvError | undefined): KvError {
  const reason = cause === undefined ? '' : ` (last: ${cause.message})`
  return new KvError('timeout', `${what} in time${reason}`, { cause })
}

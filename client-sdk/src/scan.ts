import { KvService, type ScanRequest, type ScanResponse, type Entry as WireEntry } from '@quorumkv/proto/kv/v1/kv'
import { CallError } from './call.js'
import { expiryOf, ownBytes, prefixBytes, textOf, wireConsistency } from './collection/codec.js'
import { asKvError, invalidArgument, KvError } from './errors.js'
import { limits } from './limits.js'
import { checkConsistency, checkWhole } from './options.js'
import { callTimeoutMs } from './requests.js'
import type { Dispatcher } from './session/dispatcher.js'
import type { MessageStream } from './session/message-stream.js'
import { backoffMs } from './session/retry.js'
import type { Session } from './session/session.js'
import { cancelledBy } from './signals.js'
import { fromStatus } from './status.js'
import { type CommandTrace, commandChannel, sampledTraceparent } from './tracing.js'
import type { Key, ScanEntry, ScanOptions } from './types.js'
import { Version } from './version.js'

/** What a scan asks for, checked. */
export interface ScanPlan {
  readonly request: ScanRequest
  readonly timeoutMs: number
  readonly signal: AbortSignal | undefined
}

/** Throws `invalid-argument` naming the option. */
export function planScan(options: ScanOptions, dispatcher: Dispatcher): ScanPlan {
  const { config } = dispatcher
  const consistency = options.consistency === undefined ? config.consistency : checkConsistency(options.consistency)
  return {
    request: {
      prefix: prefixBytes(options.prefix ?? ''),
      pageSize: options.pageSize === undefined ? 0 : checkWhole(options.pageSize, 'pageSize', 1, limits.pageEntriesMax),
      cursor: cursorBytes(options.cursor),
      keysOnly: options.keysOnly ?? false,
      consistency: wireConsistency(consistency),
    },
    timeoutMs: callTimeoutMs(options, config),
    signal: options.signal,
  }
}

function cursorBytes(cursor: unknown): Buffer {
  if (cursor === undefined) return Buffer.alloc(0)
  const bytes = Buffer.from(typeof cursor === 'string' ? cursor : '', 'base64url')
  // Of what is cut or damaged the decoder takes what it can, which may be nothing: a scan from the beginning.
  if (bytes.length === 0 || bytes.toString('base64url') !== cursor) {
    throw invalidArgument('cursor', "must be the cursor of an earlier scan's entry")
  }
  return bytes
}

/**
 * The entries of a scan, page by page: the next page is asked for when the last one has been consumed. The plan is made
 * at the first step, so that wrong options reject like every other failure.
 */
export async function* scanEntries(
  makePlan: () => ScanPlan,
  dispatcher: Dispatcher,
): AsyncGenerator<ScanEntry, void, void> {
  dispatcher.lifetime.check()
  const plan = makePlan()
  const pages = new PageReader(plan, dispatcher)
  try {
    for (;;) {
      const page = await pages.next()
      if (page === undefined) return
      const cursor = page.cursor.length === 0 ? undefined : page.cursor.toString('base64url')
      const last = page.entries.length - 1
      for (let i = 0; i <= last; i++) {
        yield new ScannedEntry(page.entries[i]!, i === last ? cursor : undefined)
        dispatcher.lifetime.check()
        if (plan.signal?.aborted) throw cancelledBy(plan.signal)
      }
    }
  } finally {
    pages.hangUp()
  }
}

/** Reads the pages of one scan over as many streams as it takes: after a break it goes on behind the last page. */
class PageReader {
  private readonly plan: ScanPlan
  private readonly dispatcher: Dispatcher
  private cursor: Buffer
  private finished = false
  /** Counts the streams: what was begun for an earlier one must not take a page from a later one. */
  private turn = 0
  private pages: MessageStream | undefined
  private session: Session | undefined
  /** Of the token that the stream was opened with. */
  private generation = 0
  /** For the page that is being read, as who watches is told. */
  attempts = 0
  /** The same, as who watches has said; empty: nothing. */
  traceparent = ''
  readonly client: object

  constructor(plan: ScanPlan, dispatcher: Dispatcher) {
    this.plan = plan
    this.dispatcher = dispatcher
    this.client = dispatcher.client
    this.cursor = plan.request.cursor
  }

  /** Undefined: there are no more. */
  next(): Promise<ScanResponse | undefined> {
    if (this.finished || !commandChannel.hasSubscribers) return this.page()
    this.attempts = 0
    this.traceparent = ''
    return commandChannel.tracePromise(() => this.page(), new TracedPage(this, this.plan))
  }

  /** Who was asked last. */
  get node(): string | undefined {
    return this.session?.address
  }

  private async page(): Promise<ScanResponse | undefined> {
    const endAt = performance.now() + this.plan.timeoutMs
    let failures = 0
    while (!this.finished) {
      try {
        return await this.attempt(endAt - performance.now())
      } catch (error) {
        this.hangUp()
        this.dispatcher.lifetime.check()
        if (!(error instanceof KvError) || (error.code !== 'unavailable' && error.code !== 'overloaded')) throw error
        failures++
        await this.pauseAfter(error, failures, endAt)
      }
    }
    return undefined
  }

  /** Ends the stream that is open, if one is. */
  hangUp(): void {
    this.turn++
    this.pages?.cancel()
    this.pages = undefined
  }

  private async attempt(remainingMs: number): Promise<ScanResponse> {
    this.attempts++
    const { lifetime } = this.dispatcher
    const { signal, timeoutMs } = this.plan
    // A node that hangs must not use up the time in which another one could answer.
    const attemptMs = Math.min(remainingMs, Math.max(limits.scanAttemptMsMin, timeoutMs / 3))
    const page = await lifetime.within(this.read(this.turn), attemptMs, signal, () => {
      const message = `${this.session?.address ?? 'no node'}: sent no page within ${Math.ceil(attemptMs)} ms`
      return new KvError('unavailable', message, { node: this.session?.address })
    })
    if (page === undefined) {
      throw new KvError('unavailable', `${this.session?.address}: ended the scan before its last page`)
    }
    this.cursor = page.cursor
    this.finished = this.cursor.length === 0
    return page
  }

  /** Undefined: the stream has ended in good order. */
  private async read(turn: number): Promise<ScanResponse | undefined> {
    const pages = this.pages ?? (await this.open(turn))
    try {
      const message = await pages.next()
      return message === undefined ? undefined : KvService.scan.responseDeserialize(message)
    } catch (error) {
      throw this.failureOf(error)
    }
  }

  private async open(turn: number): Promise<MessageStream> {
    const session = this.dispatcher.nodes.pickAny(this.session)
    if (session === undefined) throw new KvError('unavailable', 'no node can be reached')
    this.session = session
    const channel = await session.connected()
    const { token } = this.dispatcher.config
    await token?.ready()
    if (turn !== this.turn) throw new KvError('unavailable', `${session.address}: was given up`)
    this.generation = token?.generation ?? 0
    this.pages = channel.scan({ ...this.plan.request, cursor: this.cursor }, this.traceparent)
    return this.pages
  }

  private failureOf(error: unknown): KvError {
    const node = this.session?.address ?? 'no node'
    const failure = error instanceof CallError ? fromStatus(error, node) : asKvError(error)
    if (failure.code === 'unauthenticated' && this.dispatcher.config.token?.renew(this.generation) === true) {
      return new KvError('unavailable', `${node}: does not take the token any more`, { node, cause: failure })
    }
    if (failure.code !== 'internal') return failure
    // Whatever else ended the stream, a page that cannot be read for instance: another node may do better.
    return new KvError('unavailable', failure.message, { node, cause: error })
  }

  private async pauseAfter(error: KvError, failures: number, endAt: number): Promise<void> {
    const { refused } = this.dispatcher
    if (refused !== undefined) throw refused
    const remainingMs = endAt - performance.now()
    const pauseMs = this.dispatcher.budget.spend()
      ? backoffMs(failures, limits.retryMsMin, limits.retryMsMax)
      : limits.retryMsMax
    await this.dispatcher.lifetime.pause(Math.min(pauseMs, Math.max(0, remainingMs)), this.plan.signal)
    if (performance.now() >= endAt) throw timeoutError(this.plan.timeoutMs, error)
  }
}

/** One page, as who watches is told of it. */
class TracedPage implements CommandTrace {
  readonly client: object
  readonly operation = 'scan' as const
  readonly key: Key
  readonly batch: undefined
  declare result?: unknown
  declare error?: unknown
  readonly #pages: PageReader

  constructor(pages: PageReader, plan: ScanPlan) {
    this.client = pages.client
    this.key = plan.request.prefix
    this.#pages = pages
  }

  get node(): string | undefined {
    return this.#pages.node
  }

  get attempts(): number {
    return this.#pages.attempts
  }

  propagate(traceparent: string): void {
    this.#pages.traceparent = sampledTraceparent(traceparent)
  }
}

function timeoutError(timeoutMs: number, cause: KvError | undefined): KvError {
  const reason = cause === undefined ? '' : ` (last: ${cause.message})`
  return new KvError('timeout', `no page of the scan came within ${timeoutMs} ms${reason}`, { cause })
}

function versionOf(version: WireEntry['version']): Version {
  const hlc = version?.hlc ?? 0n
  return new Version(Number(hlc >> 32n), Number(hlc & 0xffffffffn), version?.node ?? 0)
}

class ScannedEntry implements ScanEntry {
  readonly version: Version
  readonly expiresAt: Date | undefined
  readonly cursor: string | undefined
  readonly #entry: WireEntry

  constructor(entry: WireEntry, cursor: string | undefined) {
    this.#entry = entry
    this.cursor = cursor
    this.version = versionOf(entry.version)
    this.expiresAt = expiryOf(Number(entry.expiresAtMs))
  }

  get key(): string {
    return textOf(this.#entry.key, 'key')
  }

  get keyBytes(): Uint8Array {
    return ownBytes(this.#entry.key)
  }

  get value(): string {
    return textOf(this.#entry.value, 'value')
  }

  get valueBytes(): Uint8Array {
    return ownBytes(this.#entry.value)
  }
}

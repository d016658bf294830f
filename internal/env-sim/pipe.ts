import { assert, equalBytes, limits } from '../base/index.js'
import type { SimLink, Wire } from './link.js'
import { nobody, type SimEvent } from './scheduler.js'

/** `send` says stop when more than this is on its way, and `drain` is called when half of it is left. */
export const sendMarkBytes = 1_048_576

/** What is stuck for this long breaks the link at the sending end, as a keepalive does. */
const stuckMsMax = 20_000

/** 1 Gbit/s, on top of the latency. */
const bandwidthBytesPerMs = 125_000

/** What a message counts on top of its bytes, so that a million empty ones are bounded too. */
const messageOverheadBytes = 64

interface Parcel {
  /** What arrives; undefined for the end of the stream. */
  readonly bytes: Uint8Array | undefined
  /** The sender's own array, to see whether it was left alone. */
  readonly original: Uint8Array | undefined
  readonly reason: string
  readonly arrivesAtMs: number
}

/** One direction of a link: parcels in order, one delivery event for the first of them. */
export class Pipe {
  readonly source: SimLink
  readonly target: SimLink
  readonly #wire: Wire
  #parcels: Parcel[] = []
  #queuedBytes = 0
  #pastMark = false
  #lastArrivalMs: number
  #lineFreeAtMs = 0
  #delivery: SimEvent | undefined
  #givingUp: SimEvent | undefined
  /** Everything vanishes, for good: the other end has forgotten the link without telling. */
  #mute = false
  #overrunReported = false

  constructor(wire: Wire, source: SimLink, target: SimLink, earliestMs: number) {
    this.#wire = wire
    this.source = source
    this.target = target
    this.#lastArrivalMs = earliestMs
  }

  /** Takes a message; false when the sender should wait for `drain`. */
  push(message: Uint8Array): boolean {
    if (this.#queuedBytes > limits.linkQueueBytesMax) {
      this.#overrun()
      return false
    }
    this.#queuedBytes += message.length + messageOverheadBytes
    this.#enqueue(message.slice(), message, '')
    if (this.#queuedBytes > sendMarkBytes) this.#pastMark = true
    return !this.#pastMark
  }

  pushClose(reason: string): void {
    this.#enqueue(undefined, undefined, reason)
  }

  /** What is on its way is lost. */
  clear(): void {
    const scheduler = this.#wire.scheduler
    if (this.#delivery !== undefined) scheduler.cancel(this.#delivery)
    if (this.#givingUp !== undefined) scheduler.cancel(this.#givingUp)
    this.#delivery = undefined
    this.#givingUp = undefined
    this.#parcels = []
    this.#queuedBytes = 0
  }

  /** From now on everything sent here vanishes; the sender notices by the silence only. */
  mute(): void {
    this.#mute = true
  }

  /** The way may be free again, or the other end gone: tries the first parcel anew. */
  retry(): void {
    if (this.#parcels.length === 0) return
    if (this.#delivery !== undefined) this.#wire.scheduler.cancel(this.#delivery)
    this.#schedule(this.#wire.latencyMs(this.source.host, this.target.host))
  }

  /** The sender has ignored what `send` told it for too long. */
  #overrun(): void {
    if (this.#overrunReported) return
    this.#overrunReported = true
    const { source, target } = this
    source.fail(`more than ${limits.linkQueueBytesMax} bytes were sent without waiting for drain`, 0)
    if (!this.#mute && this.#wire.reaches(source.host, target.host)) {
      target.fail('reset by the other side', this.#wire.latencyMs(source.host, target.host))
    }
  }

  #enqueue(bytes: Uint8Array | undefined, original: Uint8Array | undefined, reason: string): void {
    const nowMs = this.#wire.scheduler.nowMs
    this.#lineFreeAtMs = Math.max(nowMs, this.#lineFreeAtMs) + (bytes?.length ?? 0) / bandwidthBytesPerMs
    const arrivesAtMs = this.#lineFreeAtMs + this.#wire.latencyMs(this.source.host, this.target.host)
    this.#lastArrivalMs = Math.max(this.#lastArrivalMs, arrivesAtMs)
    this.#parcels.push({ bytes, original, reason, arrivesAtMs: this.#lastArrivalMs })
    if (this.#parcels.length === 1 && this.#givingUp === undefined) this.#scheduleFirst()
  }

  #scheduleFirst(): void {
    const first = this.#parcels[0]
    if (first === undefined) return
    this.#schedule(Math.max(0, first.arrivesAtMs - this.#wire.scheduler.nowMs))
  }

  #schedule(delayMs: number): void {
    const owner = this.target.owner.alive ? this.target.owner : nobody
    const size = this.#parcels[0]?.bytes?.length ?? 0
    this.#delivery = this.#wire.scheduler.schedule(owner, 'message', delayMs, () => this.#deliver(), size)
  }

  #deliver(): void {
    this.#delivery = undefined
    if (this.#mute || !this.#wire.reaches(this.source.host, this.target.host)) {
      this.#wait()
      return
    }
    if (this.#givingUp !== undefined) this.#wire.scheduler.cancel(this.#givingUp)
    this.#givingUp = undefined
    if (this.target.isClosed) {
      this.clear()
      this.source.fail('reset by the other side', this.#wire.latencyMs(this.target.host, this.source.host))
      return
    }
    const parcel = this.#parcels.shift()
    assert(parcel !== undefined, 'a delivery has a parcel')
    this.#scheduleFirst()
    this.#hand(parcel)
  }

  #hand(parcel: Parcel): void {
    const { bytes, original } = parcel
    if (bytes === undefined || original === undefined) {
      this.target.receiveClose(parcel.reason)
      return
    }
    this.#queuedBytes -= bytes.length + messageOverheadBytes
    assert(equalBytes(bytes, original), `a message to ${this.source.remote} was changed after it had been sent`)
    if (this.#wire.breaksNow()) {
      this.clear()
      this.target.fail('connection lost', 0)
      this.source.fail('connection lost', this.#wire.latencyMs(this.target.host, this.source.host))
      return
    }
    if (this.#pastMark && this.#queuedBytes <= sendMarkBytes / 2) this.#reportDrain()
    this.target.receive(bytes)
  }

  #reportDrain(): void {
    this.#pastMark = false
    const delayMs = this.#wire.latencyMs(this.target.host, this.source.host)
    this.#wire.scheduler.schedule(this.source.owner, 'drain', delayMs, () => {
      if (!this.#pastMark) this.source.drained()
    })
  }

  /** Nothing arrives: holds everything, and gives up after a while. */
  #wait(): void {
    if (this.#givingUp !== undefined) return
    this.#givingUp = this.#wire.scheduler.schedule(this.source.owner, 'close', stuckMsMax, () => {
      this.source.fail('the other side does not answer', 0)
    })
  }
}

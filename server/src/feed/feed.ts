import type { UnderlyingSource } from 'node:stream/web'
import { KvError, limits } from '@quorumkv/internal/base'
import type { Clock, Timer } from '@quorumkv/internal/env'
import { Frames } from './frames.js'
import { Ticker } from './ticker.js'
import type { ClusterView } from './view.js'

/** Makes the views. */
export interface ViewSource {
  /** How the cluster is now. Called once a second at most, and not again before it has resolved. Never rejects but for a bug. */
  view(): Promise<ClusterView>
  /** Nobody looks any more: what is kept between views may go. */
  rest(): void
}

export interface FeedOptions {
  readonly clock: Clock
  readonly source: ViewSource
  /** Tells this life of the feed from others: 1 to 16 letters and digits. */
  readonly life: string
  readonly onBug: (error: unknown) => void
}

const heartbeat = new TextEncoder().encode(': still here\n\n')
/** What a page does when the stream ends: it comes back after so long, and says what it has seen. */
const greeting = new TextEncoder().encode('retry: 1000\n\n')

/**
 * Tells pages how the cluster is: one collection for all of them, once a second, and only while somebody looks. A stream has
 * no buffer. It is asked for the next bytes when the page has taken those before, and gives what is newest then, so that a
 * slow page costs nothing and is never behind: it gets a snapshot in place of all that it missed.
 */
export class Feed {
  readonly #clock: Clock
  readonly #source: ViewSource
  readonly #frames: Frames
  readonly #ticker: Ticker
  /** With whether those who look may not any more. */
  readonly #streams = new Map<Stream, () => boolean>()
  #resting: Timer | undefined
  #rests = 0
  #closed = false

  constructor({ clock, source, life, onBug }: FeedOptions) {
    this.#clock = clock
    this.#source = source
    this.#frames = new Frames(life)
    this.#ticker = new Ticker(clock, limits.feedIntervalMs, () => this.#collect(), onBug)
  }

  /** Pages that look. */
  get streams(): number {
    return this.#streams.size
  }

  /**
   * A stream of server-sent events, which begins behind the event of this id where that is known, and with a snapshot
   * otherwise. It ends at a `review` that finds `isOver`. Throws KvError `overloaded` where there are too many,
   * `unavailable` after `close`.
   */
  open(lastEventId?: string, isOver: () => boolean = () => false): ReadableStream<Uint8Array> {
    if (this.#closed) throw new KvError('unavailable', 'the node is stopping')
    if (this.#streams.size >= limits.feedStreamsMax) {
      throw new KvError('overloaded', `${limits.feedStreamsMax} pages look at this node already`)
    }
    this.#wake()
    const stream = new Stream(this.#clock, this.#frames, this.#frames.seenBy(lastEventId), () => this.#left(stream))
    this.#streams.set(stream, isOver)
    return stream.readable
  }

  /** Ends all streams. Idempotent. */
  close(): void {
    this.#closed = true
    this.#rest()
    for (const stream of [...this.#streams.keys()]) stream.end()
  }

  /** Ends the streams of those who may not look any more. */
  review(): void {
    for (const [stream, isOver] of [...this.#streams]) if (isOver()) stream.end()
  }

  async #collect(): Promise<void> {
    const rests = this.#rests
    const view = await this.#source.view()
    // Begun for pages that have left: what it tells belongs to what is forgotten.
    if (this.#closed || rests !== this.#rests) return
    this.#frames.add(view)
    for (const stream of this.#streams.keys()) stream.wake()
  }

  #wake(): void {
    this.#resting?.cancel()
    this.#resting = undefined
    this.#ticker.start()
  }

  #left(stream: Stream): void {
    this.#streams.delete(stream)
    if (this.#streams.size > 0 || this.#closed) return
    // A page that reloads or has lost its connection for a moment goes on where it was.
    this.#resting ??= this.#clock.setTimer(limits.feedLingerMs, () => this.#rest())
  }

  #rest(): void {
    this.#resting?.cancel()
    this.#resting = undefined
    this.#rests++
    this.#ticker.stop()
    this.#frames.forget()
    this.#source.rest()
  }
}

/** What one page reads. */
class Stream {
  readonly readable: ReadableStream<Uint8Array>
  readonly #clock: Clock
  readonly #frames: Frames
  readonly #left: () => void
  #seen: number
  #greeted = false
  /** Set while the page wants bytes and there are none. */
  #wanting: ((bytes: Uint8Array | undefined) => void) | undefined
  #timer: Timer | undefined
  #ended = false
  #cancelled = false

  constructor(clock: Clock, frames: Frames, seen: number, left: () => void) {
    this.#clock = clock
    this.#frames = frames
    this.#seen = seen
    this.#left = left
    const source: UnderlyingSource<Uint8Array> = {
      pull: async (controller) => {
        const bytes = await this.#next()
        if (bytes !== undefined) controller.enqueue(bytes)
        else if (!this.#cancelled) controller.close()
      },
      cancel: () => {
        this.#cancelled = true
        this.end()
      },
    }
    // Nothing is made before the page takes it.
    this.readable = new ReadableStream(source, { highWaterMark: 0 })
  }

  /** There may be something new. */
  wake(): void {
    if (this.#wanting === undefined) return
    const frame = this.#frames.after(this.#seen)
    if (frame === undefined) return
    this.#seen = frame.number
    this.#give(frame.bytes)
  }

  /** Idempotent. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#give(undefined)
    this.#left()
  }

  #next(): Promise<Uint8Array | undefined> {
    if (this.#ended) return Promise.resolve(undefined)
    if (!this.#greeted) {
      this.#greeted = true
      return Promise.resolve(greeting)
    }
    return new Promise((resolve) => {
      this.#wanting = resolve
      this.#timer = this.#clock.setTimer(limits.feedHeartbeatMs, () => this.#give(heartbeat))
      this.wake()
    })
  }

  #give(bytes: Uint8Array | undefined): void {
    this.#timer?.cancel()
    this.#timer = undefined
    const wanting = this.#wanting
    this.#wanting = undefined
    wanting?.(bytes)
  }
}

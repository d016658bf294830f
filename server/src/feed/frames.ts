import { deltaOf } from './delta.js'
import type { ClusterView } from './view.js'

/** One message of the feed, ready to be sent. */
export interface Frame {
  readonly number: number
  readonly bytes: Uint8Array
}

const encoder = new TextEncoder()

/** How many deltas are kept for pages that come back. Beyond that a snapshot is less to send. */
const deltasKept = 30

function encode(id: string, event: string, data: unknown): Uint8Array {
  // JSON has no line breaks of its own, so that one `data:` line holds it.
  return encoder.encode(`id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
}

/**
 * The messages of the feed: the newest view as a snapshot, and the last deltas that lead to it. A page that has seen a delta
 * that is still here goes on from there; any other gets the snapshot. Nothing is kept for a page that reads slowly.
 */
export class Frames {
  /** Ids of another life of the feed mean nothing here. */
  readonly #life: string
  #number = 0
  #view: ClusterView | undefined
  #snapshot: Frame | undefined
  #deltas: Frame[] = []

  constructor(life: string) {
    this.#life = life
  }

  /** Of the newest frame; 0: there is none yet. */
  get number(): number {
    return this.#number
  }

  /** The next view. */
  add(view: ClusterView): void {
    const before = this.#view
    this.#number++
    this.#view = view
    this.#snapshot = undefined
    if (before === undefined) return
    this.#deltas.push({ number: this.#number, bytes: encode(this.#id(), 'delta', deltaOf(before, view)) })
    if (this.#deltas.length > deltasKept) this.#deltas.shift()
  }

  /** Nothing that was told before holds any longer: the next view is told as a whole. */
  forget(): void {
    this.#view = undefined
    this.#deltas = []
  }

  /** What somebody gets next who has seen frame `seen` (0: none); undefined: there is nothing new. */
  after(seen: number): Frame | undefined {
    if (this.#view === undefined || seen === this.#number) return undefined
    const next = this.#deltas.find(({ number }) => number === seen + 1)
    // Somebody who is behind by more than a few is slow, or was away: one snapshot is less than all that it missed.
    if (next !== undefined) return next
    this.#snapshot ??= { number: this.#number, bytes: encode(this.#id(), 'snapshot', this.#view) }
    return this.#snapshot
  }

  /** The number of the frame that an event id names; 0: it is of another life, or none. */
  seenBy(eventId: string | undefined): number {
    const [life, number] = eventId?.split('-') ?? []
    const seen = life === this.#life && number !== undefined && /^\d{1,15}$/.test(number) ? Number(number) : 0
    return seen <= this.#number ? seen : 0
  }

  #id(): string {
    return `${this.#life}-${this.#number}`
  }
}

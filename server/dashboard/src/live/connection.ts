import { type ShallowRef, shallowRef, watch } from 'vue'
import { applyDelta } from '../../../src/feed/delta.js'
import type { ClusterView, ViewDelta } from '../../../src/feed/view.js'
import { History } from './history.js'
import { askWho, session } from './session.js'

export type Link =
  | { readonly state: 'connecting' }
  | { readonly state: 'live' }
  /** Nothing has come since `sinceMs` of this machine's clock; it is tried again all the time. */
  | { readonly state: 'lost'; readonly sinceMs: number }

/** The feed tells something every second; after so long without it, what is shown is old. */
const silentMs = 4_000
/** A stream on which nothing comes for so long is opened anew, whatever the browser thinks of it. */
const deafMs = 20_000
const reopenMs = 2_000
const watchMs = 500

export const view: ShallowRef<ClusterView | undefined> = shallowRef()
export const link: ShallowRef<Link> = shallowRef({ state: 'connecting' })
export const history: History = new History()
/** Counts what has been told, for those who draw `history`. */
export const frames: ShallowRef<number> = shallowRef(0)

/** The stream of this page, while somebody looks who may: opened again whenever it ends, from where it was. */
class Connection {
  #source: EventSource | undefined
  #lastId = ''
  #heardMs = Date.now()
  #openedMs = 0

  #wanted = false

  start(): void {
    watch(session, ({ state }) => this.#want(state === 'in' || state === 'open'), { immediate: true })
    setInterval(() => this.#watch(), watchMs)
    // A page that was asleep may hold a stream that is long gone.
    addEventListener('online', () => this.#open())
  }

  #want(wanted: boolean): void {
    this.#wanted = wanted
    this.#source?.close()
    // Nothing of what the one before saw is for who comes next.
    this.#lastId = ''
    view.value = undefined
    link.value = { state: 'connecting' }
    history.clear()
    this.#open()
  }

  #open(): void {
    this.#source?.close()
    if (!this.#wanted) return
    this.#openedMs = Date.now()
    const source = new EventSource(this.#lastId === '' ? '/feed' : `/feed?last=${encodeURIComponent(this.#lastId)}`)
    source.addEventListener('snapshot', (event) => this.#snapshot(event))
    source.addEventListener('delta', (event) => this.#delta(event))
    source.addEventListener('error', () => {
      this.#lost()
      // The browser tries again by itself unless the node refused it; why, it does not tell.
      if (source.readyState === EventSource.CLOSED) void askWho()
    })
    this.#source = source
  }

  #snapshot(event: MessageEvent<string>): void {
    this.#show(JSON.parse(event.data) as ClusterView, event.lastEventId)
  }

  #delta(event: MessageEvent<string>): void {
    const before = view.value
    // Without the view that it changes a delta is of no use; a snapshot comes with a stream that names no event.
    if (before !== undefined) this.#show(applyDelta(before, JSON.parse(event.data) as ViewDelta), event.lastEventId)
  }

  #show(next: ClusterView, id: string): void {
    this.#lastId = id
    this.#heardMs = Date.now()
    history.add(next)
    view.value = next
    frames.value++
    if (link.value.state !== 'live') link.value = { state: 'live' }
  }

  #lost(): void {
    if (link.value.state === 'live') link.value = { state: 'lost', sinceMs: this.#heardMs }
  }

  #watch(): void {
    if (!this.#wanted) return
    const nowMs = Date.now()
    if (nowMs - this.#heardMs > silentMs) this.#lost()
    const ended = this.#source?.readyState === EventSource.CLOSED
    const deaf = nowMs - Math.max(this.#heardMs, this.#openedMs) > deafMs
    if ((ended && nowMs - this.#openedMs > reopenMs) || deaf) this.#open()
  }
}

export function startConnection(): void {
  new Connection().start()
}

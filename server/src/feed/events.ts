import { type EventView, eventsKept } from './view.js'

/** What one member says that has happened. */
export interface ToldEvent {
  readonly atMs: number
  readonly kind: string
  readonly subject: string
  readonly text: string
}

/** The same thing said by several members within this time is one event. */
const sameWithinMs = 30_000
/** Kinds that each member has of its own: several members telling them are several events. */
const ownKinds: ReadonlySet<string> = new Set(['snapshot', 'slow', 'repaired', 'hint-replayed', 'lost-slots'])

/** The events of all members as one list: what several have seen is told once, with who has seen it. */
export class EventLog {
  #events: EventView[] = []
  #nextId = 1

  /** The oldest first. A new array after each change. */
  get events(): readonly EventView[] {
    return this.#events
  }

  /** Takes what a member told. The events need not be in order of time. */
  add(observer: string, told: readonly ToldEvent[]): void {
    if (told.length === 0) return
    const events = [...this.#events]
    for (const { atMs, kind, subject, text } of told) {
      const about = subject === '' ? observer : subject
      const at = ownKinds.has(kind) ? -1 : events.findLastIndex((event) => isSame(event, atMs, kind, about))
      const known = events[at]
      // Nobody tells a thing twice: it has happened again.
      if (known === undefined || known.seenBy.includes(observer)) {
        events.push({ id: this.#nextId++, atMs, kind, subject: about, text, seenBy: [observer] })
      } else {
        // The first to see it says when; whoever it happened to says it best.
        const words = about === observer ? text : known.text
        const seenBy = [...known.seenBy, observer]
        events[at] = { ...known, atMs: Math.min(known.atMs, atMs), text: words, seenBy }
      }
    }
    this.#events = events.sort((a, b) => a.atMs - b.atMs || a.id - b.id).slice(-eventsKept)
  }
}

function isSame(event: EventView, atMs: number, kind: string, subject: string): boolean {
  return event.kind === kind && event.subject === subject && Math.abs(event.atMs - atMs) <= sameWithinMs
}

/** What can be put into a DeadlineWheel; extended by its users. The fields belong to the wheel. */
export class WheelEntry {
  /** In milliseconds of the monotonic clock. */
  dueAt = 0
  next: WheelEntry | undefined = undefined
  previous: WheelEntry | undefined = undefined
  placed: 'nowhere' | 'waiting' | 'due' = 'nowhere'
}

const tickMs = 10
const bucketCount = 512

/**
 * Many deadlines on one timer: a hashed timing wheel (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels",
 * 1987) of 512 buckets of 10 ms. An entry is never early and at most a tick late. A deadline further off than one turn
 * of the wheel stays in its bucket until its turn has come.
 *
 * The timer runs only while there are entries, and keeps the process alive just as long: whoever waits is answered.
 */
export class DeadlineWheel<Entry extends WheelEntry> {
  private readonly buckets: WheelEntry[] = []
  private readonly onDue: (entry: Entry) => void
  private timer: NodeJS.Timeout | undefined
  private lastTick = 0
  private count = 0

  constructor(onDue: (entry: Entry) => void) {
    this.onDue = onDue
    for (let i = 0; i < bucketCount; i++) {
      const head = new WheelEntry()
      head.next = head
      head.previous = head
      this.buckets.push(head)
    }
  }

  get size(): number {
    return this.count
  }

  /** Adds an entry, or moves it if it is there already. */
  set(entry: Entry, dueAt: number): void {
    this.delete(entry)
    entry.dueAt = dueAt
    if (this.timer === undefined) this.start()
    // A deadline in a tick that has been visited already would wait for a whole turn.
    const tick = Math.max(Math.ceil(dueAt / tickMs), this.lastTick + 1)
    const head = this.buckets[tick % bucketCount]!
    entry.next = head
    entry.previous = head.previous
    head.previous!.next = entry
    head.previous = entry
    entry.placed = 'waiting'
    this.count++
  }

  delete(entry: Entry): void {
    if (entry.placed === 'waiting') this.unlink(entry)
    entry.placed = 'nowhere'
  }

  /** All entries, in no particular order. */
  entries(): Entry[] {
    const all: Entry[] = []
    for (const head of this.buckets) {
      for (let entry = head.next!; entry !== head; entry = entry.next!) all.push(entry as Entry)
    }
    return all
  }

  private unlink(entry: WheelEntry): void {
    entry.previous!.next = entry.next
    entry.next!.previous = entry.previous
    entry.next = undefined
    entry.previous = undefined
    this.count--
  }

  private start(): void {
    this.lastTick = Math.floor(performance.now() / tickMs)
    this.timer = setInterval(() => this.advance(), tickMs)
  }

  private advance(): void {
    const now = performance.now()
    const tick = Math.floor(now / tickMs)
    const due: Entry[] = []
    for (let t = Math.max(this.lastTick + 1, tick - bucketCount + 1); t <= tick; t++) {
      const head = this.buckets[t % bucketCount]!
      for (let entry = head.next!; entry !== head; ) {
        const next = entry.next!
        if (entry.dueAt <= now) {
          this.unlink(entry)
          entry.placed = 'due'
          due.push(entry as Entry)
        }
        entry = next
      }
    }
    this.lastTick = tick
    for (const entry of due) {
      // An earlier entry's callback may have removed or moved this one.
      if (entry.placed !== 'due') continue
      entry.placed = 'nowhere'
      this.onDue(entry)
    }
    if (this.count === 0) {
      clearInterval(this.timer)
      this.timer = undefined
    }
  }
}

import { type Epoch, KvError, limits, type Slot } from '../../base/index.js'
import type { Clock, Log } from '../../env/index.js'
import { slotCount } from '../../slots/index.js'
import type { Digest, Store } from '../../store/index.js'
import type { Routing } from '../operations/routing.js'
import type { ScanSlices } from '../operations/scan-slices.js'
import { Pauses } from '../transfer/pauses.js'
import { type FloorAnswer, type FloorAsk, type FloorPeer, failedFloors, floorStanding } from './floor-peer.js'
import type { Horizon } from './horizon.js'

/** Times that the simulator and tests make small; what is left out is as in `limits`. */
export interface FloorTuning {
  readonly horizonMs?: number
  readonly agreementMs?: number
  readonly intervalMs?: number
}

export interface FloorRoundsOptions {
  readonly clock: Clock
  readonly log: Log
  readonly store: Store
  readonly horizon: Horizon
  readonly slices: ScanSlices
  /** How far two owners' horizons may be apart. */
  readonly maxClockDriftMs: number
  readonly tuning: FloorTuning
  /** The one in force now. */
  routing(): Routing
  /** The way to another member, by its index in the routing. */
  peer(member: number): FloorPeer
}

/** How the collection of tombstones gets on. */
export interface FloorStatus {
  /** The lowest floor of the slots that this node owns, in Unix milliseconds; 0: one of them has none yet. */
  readonly lowestMs: number
  /** Floors that this node has had raised since it started, as the first owner of their slots. */
  readonly raised: number
  /** Why the last round left some tombstones of its slots; empty: it did not, or they are too young. For people. */
  readonly obstacle: string
}

/** All owners held the same up to this moment, at the time `sinceMs` (monotonic) and before it. */
interface Agreement {
  readonly floorMs: number
  readonly sinceMs: number
  readonly epoch: Epoch
}

type Outcome =
  | { readonly kind: 'agreed'; readonly raise: number; readonly next: number }
  | { readonly kind: 'differing'; readonly obstacle: string }

/**
 * Has the floors of slots rise, so that tombstones are dropped (docs/adr/0023-tombstone-floors.md). The first owner of a
 * slot does it for all: it compares what all of them hold up to a moment in the past, once and again much later, and
 * where every one of them held the same both times it tells them to raise the floor to that moment. Whoever is away,
 * has lost the slot or differs keeps the floor where it is, and the tombstones with it, for as long as it takes.
 *
 * While a slot moves its floor stays where it is: those who own it only afterwards may not hold everything yet.
 *
 * The other owners keep nothing of it. What this node remembers, one moment for each slot, it may forget: then it takes
 * longer.
 */
export class FloorRounds {
  readonly #options: FloorRoundsOptions
  readonly #pauses: Pauses
  readonly #agreements = new Map<Slot, Agreement>()
  /** The horizon that each other member told last, and when, monotonic. By its index under the epoch of the round. */
  readonly #told = new Map<number, { readonly horizonMs: number; readonly atMs: number }>()
  #toldEpoch: Epoch | undefined
  readonly #agreementMs: number
  readonly #intervalMs: number
  #raised = 0
  #obstacle = ''
  /** Of the round that runs. */
  #found = ''

  constructor(options: FloorRoundsOptions) {
    this.#options = options
    this.#pauses = new Pauses(options.clock)
    this.#agreementMs = options.tuning.agreementMs ?? limits.floorAgreementMs
    this.#intervalMs = options.tuning.intervalMs ?? limits.floorIntervalMs
  }

  status(): FloorStatus {
    const { store, routing } = this.#options
    const { table, self } = routing()
    let lowestMs = Number.POSITIVE_INFINITY
    for (let slot = 0 as Slot; slot < slotCount; slot++) {
      if (table.ownsSlot(self, slot)) lowestMs = Math.min(lowestMs, store.floorMs(slot))
    }
    return { lowestMs: Number.isFinite(lowestMs) ? lowestMs : 0, raised: this.#raised, obstacle: this.#obstacle }
  }

  /** Works until stopped. Throws only bugs: a disk that fails ends the process by way of the store. */
  async run(): Promise<void> {
    while (!this.#pauses.stopped) {
      await this.#pauses.pause(this.#intervalMs)
      if (!this.#pauses.stopped) await this.#round()
    }
  }

  /** Idempotent. What waits ends; `run` resolves soon. */
  stop(): void {
    this.#pauses.stop()
  }

  /** Goes once through the slots of which this node is the first owner, as far as they hold tombstones. */
  async #round(): Promise<void> {
    const { store, routing } = this.#options
    this.#found = ''
    const { epoch, table, self, slots: routed } = routing()
    if (epoch !== this.#toldEpoch) this.#told.clear()
    this.#toldEpoch = epoch
    const slots: Slot[] = []
    for (let slot = 0 as Slot; slot < slotCount; slot++) {
      if (store.tombstonesIn(slot) === 0 || table.owners(slot)[0] !== self) continue
      if (!routed[slot]!.moves) slots.push(slot)
      else this.#found = `slot ${slot} is being handed over`
    }
    const workers = Array.from({ length: limits.floorSlotsMax }, async () => {
      for (let slot = slots.pop(); slot !== undefined && !this.#pauses.stopped; slot = slots.pop()) {
        await this.#compare(slot)
      }
    })
    await Promise.all(workers)
    this.#obstacle = this.#found
  }

  async #compare(slot: Slot): Promise<void> {
    const { clock, routing, slices, store } = this.#options
    const { epoch } = routing()
    const agreement = this.#agreements.get(slot)
    if (agreement !== undefined && agreement.epoch !== epoch) this.#agreements.delete(slot)
    const known = this.#agreements.get(slot)
    if (known !== undefined && clock.monotonicMs() - known.sinceMs < this.#agreementMs) return
    const ask: FloorAsk = { slot, agreedMs: known?.floorMs ?? 0, candidateMs: this.#candidateMs(slot) }
    if (ask.candidateMs <= store.floorMs(slot)) return
    const { dead } = await slices.result(() => store.digestUpTo(slot, ask.candidateMs))
    if (dead === 0) {
      this.#agreements.delete(slot)
      this.#doubtWhatWasTold(slot)
      return
    }
    const lives = this.#lives(slot)
    const outcome = lives === undefined ? undefined : await this.#outcome(ask)
    if (lives === undefined || outcome === undefined || routing().epoch !== epoch) return
    if (outcome.kind === 'differing') {
      this.#found = outcome.obstacle
      this.#agreements.delete(slot)
      return
    }
    if (outcome.next > 0) this.#agreements.set(slot, { floorMs: outcome.next, sinceMs: clock.monotonicMs(), epoch })
    else this.#agreements.delete(slot)
    if (outcome.raise > 0) await this.#raise(slot, outcome.raise, lives)
  }

  /**
   * The latest moment that all owners may admit nothing fresh up to: their horizons differ, and those of nodes that have
   * restarted where nobody writes stay behind. As far as they have told; who has not is taken to be as far as this one.
   */
  #candidateMs(slot: Slot): number {
    const { clock, horizon, maxClockDriftMs, routing } = this.#options
    const nowMs = clock.monotonicMs()
    let lowestMs = horizon.ms()
    for (const member of routing().table.owners(slot)) {
      const told = this.#told.get(member)
      if (told !== undefined) lowestMs = Math.min(lowestMs, told.horizonMs + nowMs - told.atMs)
    }
    return Math.floor(lowestMs - maxClockDriftMs)
  }

  /**
   * Where there is nothing to collect up to the lowest horizon that was told, nobody is asked, and so nobody tells of a higher one. A
   * node that has just restarted tells its horizon from before it was down, and catches up in one leap as soon as it hears from
   * others: what was told long ago is forgotten, so that it is asked anew.
   */
  #doubtWhatWasTold(slot: Slot): void {
    const { clock, routing } = this.#options
    for (const member of routing().table.owners(slot)) {
      const told = this.#told.get(member)
      if (told !== undefined && clock.monotonicMs() - told.atMs >= this.#agreementMs) this.#told.delete(member)
    }
  }

  /** Which processes are to be asked, in the order of the owners; undefined: not all of them can be. */
  #lives(slot: Slot): readonly string[] | undefined {
    const { peer, routing } = this.#options
    const { table, self } = routing()
    const lives: string[] = []
    for (const member of table.owners(slot)) {
      if (member === self) continue
      const { up, busy, life } = peer(member)
      if (!up || busy) {
        this.#found = `${table.members[member]!.id} cannot be ${up ? 'used' : 'reached'}`
        return undefined
      }
      lives.push(life)
    }
    return lives
  }

  /** What all owners say; undefined: this node stops. */
  async #outcome(ask: FloorAsk): Promise<Outcome | undefined> {
    const { clock, horizon, peer, routing, slices, store } = this.#options
    const { table, self } = routing()
    const others = Array.from(table.owners(ask.slot)).filter((member) => member !== self)
    const answers = await Promise.all(
      others.map((member) =>
        this.#pauses.answer<FloorAnswer>(limits.floorReplyMs, failedFloors, (resolve) => {
          peer(member).floors(ask, resolve)
        }),
      ),
    )
    if (routing().epoch !== this.#toldEpoch) return undefined
    for (const [i, { kind, horizonMs }] of answers.entries()) {
      if (kind === 'held') this.#told.set(others[i]!, { horizonMs, atMs: clock.monotonicMs() })
    }
    const horizonMs = horizon.ms()
    await store.settled()
    const mine = await slices.result(() => floorStanding(store, horizonMs, ask))
    if (this.#pauses.stopped) return undefined
    const named = answers.map((answer, i) => ({ answer, name: table.members[others[i]!]!.id }))
    return judge(ask, [{ answer: mine, name: table.members[self]!.id }, ...named])
  }

  async #raise(slot: Slot, floorMs: number, lives: readonly string[]): Promise<void> {
    const { log, peer, routing, store } = this.#options
    const { table, self } = routing()
    const others = Array.from(table.owners(slot)).filter((member) => member !== self)
    for (const [i, member] of others.entries()) peer(member).raiseFloor({ slot, floorMs }, lives[i]!)
    try {
      await store.raiseFloors([{ slot, floorMs }])
      this.#raised++
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      // The others' floors are higher now, and are taken over as soon as there is room.
      this.#found = `nothing can be stored here: ${error.message}`
      log.debug('a floor was not raised', { slot, floorMs, cause: error.message })
    }
  }
}

/** Pure: what the answers of all owners allow. The first one is this node's own. */
function judge(
  { slot, agreedMs, candidateMs }: FloorAsk,
  owners: readonly { readonly answer: FloorAnswer; readonly name: string }[],
): Outcome {
  const mine = owners[0]!.answer
  for (const { answer, name } of owners) {
    const obstacle = obstacleOf(answer, mine, name, slot)
    if (obstacle !== undefined) return { kind: 'differing', obstacle }
  }
  const behind = owners.find(({ answer }) => answer.horizonMs < candidateMs)
  const next =
    behind === undefined && owners.every(({ answer }) => isEqual(answer.candidate, mine.candidate)) ? candidateMs : 0
  const holds = owners.every(({ answer }) => answer.horizonMs >= agreedMs && isEqual(answer.agreed, mine.agreed))
  if (next === 0 && !(agreedMs > 0 && holds)) {
    const obstacle = `the owners of slot ${slot} do not hold the same yet`
    return { kind: 'differing', obstacle: behind === undefined ? obstacle : `the clock of ${behind.name} is behind` }
  }
  return { kind: 'agreed', raise: holds ? agreedMs : 0, next }
}

function obstacleOf(answer: FloorAnswer, mine: FloorAnswer, name: string, slot: Slot): string | undefined {
  if (answer.kind === 'failed') return `${name} does not answer`
  if (answer.kind === 'refilling') return `${name} has lost slot ${slot}`
  return answer.floorMs === mine.floorMs ? undefined : `${name} has another floor of slot ${slot}`
}

function isEqual(a: Digest, b: Digest): boolean {
  return a.hi === b.hi && a.lo === b.lo
}

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Instruments, KvError } from '../base/index.js'
import { type Clock, Life, silentLog } from '../env/index.js'
import { NodeClock, NodeDisk } from '../env-node/index.js'
import type { CrashPolicy } from '../env-sim/index.js'
import { compareRecords, isLive, type StoredRecord } from '../record/index.js'
import { FillingDisk } from './filling-disk.conformance.js'
import { clusterId, incarnation, put, SimStore, tombstone } from './fixture.conformance.js'
import { type CommitResult, openStore, type Store, type StoreOptions } from './index.js'
import { CommitModel, contentsOf, isSameWrite } from './model.conformance.js'

/*
 * A store against a Map of records, over random commands: commits, snapshots, expiries, a disk that is full for a while,
 * stops, crashes and starts. While nothing is under way the store's answers and contents are those of the Map; after a
 * crash in the middle of something they are what `CommitModel` allows.
 */

/** A store on some machine. */
interface Machine {
  readonly store: Store
  wallMs(): number
  settle<T>(promise: Promise<T>): Promise<T>
  /** Lets some time pass, or at least some events. */
  advance(ms: number): Promise<void>
  /** From now on the disk has no room, or has some again; what is running may have found the one or the other. */
  setFull(full: boolean): void
  /** Resolves when a store that has room again has noticed. */
  heal(): Promise<void>
  /** Ends this life and opens the store in another one. */
  crash(policy: CrashPolicy): Promise<void>
}

const overrides: Partial<StoreOptions> = { snapshotWalBytes: 12_000 }

async function simulated(seed: number, short: boolean): Promise<Machine> {
  const sim: SimStore = new SimStore(seed, { ...overrides, purgeTimeMs: () => sim.process.clock.wallMs() })
  if (short) sim.drive.faults.setShortTransfers(0.5)
  await sim.open()
  return {
    get store() {
      return sim.store
    },
    wallMs: () => sim.process.clock.wallMs(),
    settle: (promise) => sim.settle(promise),
    advance: (ms) => sim.world.advance(ms),
    setFull: (full) => sim.drive.faults.setFreeBytes(full ? 300 : 1e9),
    heal: () => sim.world.advance(1_100),
    crash: async (policy) => {
      await sim.reopen(policy)
      expect(sim.fatal).toEqual([])
    },
  }
}

/** Timers run a hundred times faster: an hour of expiries and second-long intervals would be nothing but waiting. */
const haste = 100

function hasty(clock: Clock): Clock {
  return {
    wallMs: () => clock.wallMs(),
    monotonicMs: () => clock.monotonicMs() * haste,
    setTimer: (delayMs, fire) => clock.setTimer(delayMs / haste, fire),
    defer: (fire) => clock.defer(fire),
  }
}

async function real(root: string): Promise<Machine> {
  const disk = new FillingDisk(new NodeDisk(root))
  const clock = new NodeClock()
  let life = new Life()
  const fatal: Error[] = []
  const open = (): Promise<Store> =>
    openStore({
      disk: life.disk(disk),
      clock: life.clock(hasty(clock)),
      instruments: new Instruments(() => 0),
      log: silentLog,
      clusterId,
      incarnation,
      fsync: 'always',
      fsyncIntervalMs: 100,
      snapshotIntervalMs: 0,
      snapshotWalBytes: 0,
      tuning: { logSegmentBytes: 4_096, logPreallocateBytes: 2_048 },
      purgeTimeMs: () => clock.wallMs(),
      onFatal: (error) => fatal.push(error),
      ...overrides,
    })
  let store = await open()
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
  return {
    get store() {
      return store
    },
    wallMs: () => clock.wallMs(),
    settle: (promise) => promise,
    advance: turn,
    setFull: (full) => {
      disk.full = full
    },
    heal: async () => {
      const untilMs = clock.monotonicMs() + 10_000
      while (store.statistics().readOnly && clock.monotonicMs() < untilMs) await turn()
    },
    crash: async () => {
      await life.end()
      life = new Life()
      store = await open()
      expect(fatal).toEqual([])
    },
  }
}

type Kind = 'small' | 'large' | 'tombstone' | 'expired' | 'expires soon' | 'expires late'

interface Write {
  readonly key: number
  readonly late: boolean
  readonly kind: Kind
}

type Step =
  | { readonly do: 'commit'; readonly writes: readonly Write[]; readonly wait: boolean }
  | { readonly do: 'repeat' }
  | { readonly do: 'advance'; readonly ms: number }
  | { readonly do: 'snapshot'; readonly wait: boolean }
  | { readonly do: 'fill disk' }
  | { readonly do: 'free disk' }
  | { readonly do: 'crash'; readonly policy: CrashPolicy }
  | { readonly do: 'close' }

const write: fc.Arbitrary<Write> = fc.record({
  key: fc.nat(12),
  late: fc.nat(7).map((n) => n === 0),
  kind: fc.constantFrom<Kind>(
    'small',
    'small',
    'small',
    'large',
    'tombstone',
    'expired',
    'expires soon',
    'expires late',
  ),
})

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant('commit' as const),
      writes: fc.array(write, { minLength: 1, maxLength: 6 }),
      wait: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.constant<Step>({ do: 'repeat' }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('advance' as const), ms: fc.constantFrom(0, 0.5, 3, 30, 1_500) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('snapshot' as const), wait: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant<Step>({ do: 'fill disk' }) },
  { weight: 1, arbitrary: fc.constant<Step>({ do: 'free disk' }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('crash' as const),
      policy: fc.constantFrom<CrashPolicy>('keep', 'lose', 'random', 'random'),
    }),
  },
  { weight: 1, arbitrary: fc.constant<Step>({ do: 'close' }) },
)

function keyOf(record: StoredRecord): string {
  return new TextDecoder().decode(record.key)
}

class Run {
  readonly #machine: Machine
  readonly #commits: CommitModel
  /** What the store holds, as long as nothing is under way. */
  #known = new Map<string, StoredRecord>()
  #underWay = 0
  #stamp = 0
  #last: readonly StoredRecord[] = []
  readonly #failures: unknown[] = []

  constructor(machine: Machine) {
    this.#machine = machine
    this.#commits = new CommitModel(() => machine.wallMs())
  }

  async run(steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      await this.#perform(step)
      this.#commits.at++
      if (this.#failures.length > 0) throw this.#failures[0]
      this.#compare()
    }
    await this.#freeDisk()
    await this.#restart('random')
  }

  async #perform(step: Step): Promise<void> {
    const machine = this.#machine
    switch (step.do) {
      case 'commit':
        return this.#commit(
          step.writes.map((each) => this.#recordOf(each)),
          step.wait,
        )
      case 'repeat':
        return this.#repeat()
      case 'advance':
        return machine.advance(step.ms)
      case 'snapshot':
        return this.#snapshot(step.wait)
      case 'fill disk':
        return machine.setFull(true)
      case 'free disk':
        return this.#freeDisk()
      case 'crash':
        return this.#restart(step.policy)
      case 'close':
        await machine.settle(machine.store.close())
        return this.#restart('lose')
      default:
        return step satisfies never
    }
  }

  #recordOf({ key, late, kind }: Write): StoredRecord {
    this.#stamp++
    // What comes late is below what its key has had meanwhile; every version is used once.
    const stamp = late ? 1_000 * Math.max(1, this.#stamp - 20) + this.#stamp : 1_000 * this.#stamp
    const name = `key-${key}`
    const record = put(name, stamp, kind === 'large' ? 'x'.repeat(1_500) : `v${stamp}`)
    switch (kind) {
      case 'tombstone':
        return tombstone(name, stamp)
      case 'expired':
        return { ...record, expiresAtMs: 1 }
      case 'expires soon':
        return { ...record, expiresAtMs: this.#machine.wallMs() + 1_000 }
      case 'expires late':
        return { ...record, expiresAtMs: 2 ** 47 }
      default:
        return record
    }
  }

  async #commit(records: readonly StoredRecord[], wait: boolean): Promise<void> {
    const { store } = this.#machine
    const alone = this.#underWay === 0
    this.#underWay++
    this.#last = records
    const committed = this.#commits.commit(store, records).then((outcome) => {
      this.#underWay--
      if (outcome instanceof KvError) {
        // `closed`: it found no room, and by then the store was being closed.
        expect(['read-only', 'closed'], 'refused for nothing but want of room').toContain(outcome.code)
        expect(outcome.outcome).toBe('not-applied')
        return
      }
      // Records of one key in one commit meet each other; what exactly they answer is a test of its own.
      const apart = new Set(records.map(keyOf)).size === records.length
      for (const [i, record] of records.entries()) {
        if (alone && wait && apart) this.#checkResult(record, outcome[i]!)
        this.#merge(record)
      }
    })
    await this.#waitOrWatch(committed, wait)
  }

  /** What nobody waits for must not fail unseen: the next step tells. */
  async #waitOrWatch(running: Promise<void>, wait: boolean): Promise<void> {
    const watched = running.catch((error: unknown) => {
      this.#failures.push(error)
    })
    if (wait) await this.#machine.settle(watched)
  }

  /** With nothing else under way, just this must be the answer. */
  #checkResult(record: StoredRecord, result: CommitResult): void {
    const met = this.#known.get(keyOf(record))
    expect(result.applied, keyOf(record)).toBe(met === undefined || compareRecords(record, met) > 0)
    expect(result.seen).toEqual(met && { hi: met.hi, lo: met.lo, node: met.node })
    const existed = result.applied && met !== undefined && isLive(met, this.#machine.wallMs())
    // On a real clock the second may have ended in between.
    if (met === undefined || Math.abs(met.expiresAtMs - this.#machine.wallMs()) > 500) {
      expect(result.existed, keyOf(record)).toBe(existed)
    }
    expect(result.previous).toBeUndefined()
  }

  #merge(record: StoredRecord): void {
    const met = this.#known.get(keyOf(record))
    if (met === undefined || compareRecords(record, met) > 0) this.#known.set(keyOf(record), record)
  }

  /** The very same records again, as when a reply was lost: nothing may change. */
  async #repeat(): Promise<void> {
    const { store } = this.#machine
    if (this.#underWay > 0 || this.#last.some((record) => this.#known.get(keyOf(record)) === undefined)) return
    const { lastSequence } = store.statistics()
    const held = this.#last.every((record) => compareRecords(this.#known.get(keyOf(record))!, record) >= 0)
    if (!held) return
    await this.#machine.settle(store.commit(this.#last))
    expect(store.statistics().lastSequence - lastSequence, 'a seal may come, a group may not').toBeLessThan(2)
  }

  async #snapshot(wait: boolean): Promise<void> {
    const taken = this.#machine.store.snapshot().then(
      ({ sequence }) => {
        expect(this.#machine.store.statistics().snapshotSequence).toBeGreaterThanOrEqual(sequence)
      },
      (error: unknown) => {
        if (!(error instanceof KvError)) throw error
        expect(['read-only', 'closed']).toContain(error.code)
      },
    )
    await this.#waitOrWatch(taken, wait)
  }

  async #freeDisk(): Promise<void> {
    this.#machine.setFull(false)
    await this.#machine.heal()
    if (this.#underWay > 0) return
    expect(this.#machine.store.statistics().readOnly, 'it has noticed').toBe(false)
  }

  async #restart(policy: CrashPolicy): Promise<void> {
    const wasIdle = this.#underWay === 0
    this.#machine.setFull(false)
    await this.#machine.crash(policy)
    this.#underWay = 0
    const { store } = this.#machine
    const { at } = this.#commits
    this.#commits.check(store, { at, promisedAt: at })
    this.#commits.at++
    this.#commits.goOnFrom(store)
    if (wasIdle) this.#compare()
    this.#known = new Map(contentsOf(store))
  }

  /** With nothing under way, the store holds just what the Map holds. */
  #compare(): void {
    if (this.#underWay > 0) return
    const found = contentsOf(this.#machine.store)
    expect([...found.keys()].sort()).toEqual([...this.#known.keys()].sort())
    for (const [key, record] of this.#known) expect(isSameWrite(found.get(key)!, record), key).toBe(true)
  }
}

describe('whatever is committed, snapshotted and crashed in whatever order: acknowledged stays, never written stays out', () => {
  test('on a simulated disk', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.array(step, { maxLength: 60 }), async (seed, steps) => {
        await new Run(await simulated(seed, false)).run(steps)
      }),
      { numRuns: 120 },
    )
  })

  test('on a simulated disk with short transfers', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.array(step, { maxLength: 30 }), async (seed, steps) => {
        await new Run(await simulated(seed, true)).run(steps)
      }),
      { numRuns: 15 },
    )
  })

  test('on a real disk', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const root = await mkdtemp(join(tmpdir(), 'quorumkv-model-'))
        try {
          await new Run(await real(root)).run(steps)
        } finally {
          await rm(root, { recursive: true })
        }
      }),
      { numRuns: 25 },
    )
  })
})

test('the same seed and the same steps are the same run', async () => {
  const play = async (): Promise<string> => {
    const sim = new SimStore(7)
    await sim.open()
    for (let i = 1; i < 30; i++) void sim.store.commit([put(`k${i % 5}`, i)])
    await sim.world.advance(5)
    await sim.reopen('random')
    return sim.world.hash
  }
  expect(await play()).toBe(await play())
})

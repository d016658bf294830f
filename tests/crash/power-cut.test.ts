import { FatalError } from '@quorumkv/internal/base'
import { type CrashPolicy, type SimDisk, SimRandom, SimWorld } from '@quorumkv/internal/env-sim'
import type { StoredRecord } from '@quorumkv/internal/record'
import { readIdentity, surveyDirectory } from '@quorumkv/internal/store'
import { expect, test } from 'vitest'
import { contentsOf, isSameWrite } from '../../internal/store/model.conformance.js'
import { environmentNumber, longForm, Report, seed } from './report.js'
import { type CrashPoint, documentName, readNumber, WatchedStore, Workload } from './workload.js'

/*
 * The power goes at every change that a store makes to its disk. One run of a workload serves all its crash points:
 * each change leaves crash images, and each image is started, checked, written to, crashed again and started again, in
 * a world of its own.
 */

const report = new Report('power cuts')
const workloadsAsked = environmentNumber('KV_WORKLOADS')
/** Just this one, to look into what it has shown. */
const workloadAsked = environmentNumber('KV_WORKLOAD')
const workloadsOfLongForm = 200
/** Left to itself the short form goes on for so long, and not below so many workloads. */
const shortFormMs = 15_000
const workloadsMin = 3
const policies: readonly CrashPolicy[] = longForm
  ? ['keep', 'lose', 'random', 'random', 'random']
  : ['keep', 'lose', 'random', 'random']

/** One image: a machine of its own, that starts from it. */
class Survivor {
  readonly sim: WatchedStore
  readonly #workload: Workload
  readonly #point: CrashPoint
  readonly #random: SimRandom

  constructor(workload: Workload, point: CrashPoint, drive: SimDisk, label: string) {
    const world = new SimWorld({ seed: label })
    const { tuning } = workload.sim.options
    const purgeTimeMs = (): number => this.sim.process.clock.wallMs()
    this.sim = new WatchedStore({}, world, { tuning: tuning!, purgeTimeMs }, world.crashClone(drive, 'keep'))
    this.#workload = workload
    this.#point = point
    this.#random = new SimRandom(label)
  }

  async check(): Promise<void> {
    const { sim } = this
    if (this.#random.chance(1 / 16)) await this.#survey()
    await this.#checkDocuments()
    await this.#open()
    this.#workload.model.check(sim.store, this.#point)
    const before = contentsOf(sim.store)
    if (sim.said.some((line) => line.startsWith('cut the torn end'))) report.count('torn tails')
    await this.#goOn(before)
    expect(sim.fatal).toEqual([])
    // A crash is no damage, and nothing may be taken for it.
    expect(sim.said.filter((line) => !line.startsWith('cut the torn end of the log'))).toEqual([])
  }

  async #open(): Promise<void> {
    report.count('starts')
    await this.sim.open()
  }

  /** Writes again, goes down again, and starts again: nothing of either time is missing. */
  async #goOn(before: ReadonlyMap<string, StoredRecord>): Promise<void> {
    const { sim } = this
    const written = new Map(before)
    const way = this.#random.pick(['write', 'write', 'write', 'snapshot', 'nothing'])
    if (way !== 'nothing') {
      for (const record of this.#workload.laterRecords(2 ** 31)) {
        await sim.settle(sim.store.commit([record]))
        written.set(new TextDecoder('latin1').decode(record.key), record)
      }
      if (way === 'snapshot') await sim.settle(sim.store.snapshot())
    }
    sim.crash(this.#random.pick<CrashPolicy>(['lose', 'random', 'random', 'keep']))
    await this.#open()
    const after = contentsOf(sim.store)
    expect([...after.keys()].sort()).toEqual([...written.keys()].sort())
    for (const [key, record] of written) expect(isSameWrite(after.get(key)!, record), key).toBe(true)
  }

  async #checkDocuments(): Promise<void> {
    const { sim } = this
    const number = await sim.settle(readNumber(sim.disk))
    expect(number, `the document ${documentName}`).toBeGreaterThanOrEqual(this.#point.documentFrom)
    expect(number, `the document ${documentName}`).toBeLessThanOrEqual(this.#point.documentTo)
    const identity = await sim.settle(readIdentity(sim.disk))
    const { incarnation, clusterId } = sim.options
    if (identity !== undefined) expect(identity).toMatchObject({ nodeId: 'n1', incarnation, clusterId })
    // The identity was durable before the store was made.
    else expect(sim.drive.paths().filter((path) => path.startsWith('log/'))).toEqual([])
  }

  async #survey(): Promise<void> {
    const { sim } = this
    if ((await sim.settle(readIdentity(sim.disk))) === undefined) return
    report.count('surveys')
    const { findings } = await sim.settle(surveyDirectory(sim.disk))
    expect(findings, 'what a crash leaves is no finding').toEqual([])
  }
}

async function survive(number: number): Promise<void> {
  const workload = new Workload(`${seed}/${number}`, policies)
  await workload.run().catch((error: unknown) => {
    throw new Error(`workload ${number}, while it ran: ${String(error)}`, { cause: error })
  })
  expect(workload.sim.fatal).toEqual([])
  report.count('workloads')
  report.count(`of them with fsync ${workload.fsync}`)
  report.count('commits', workload.model.commits)
  report.count('of them refused', workload.model.refused)
  for (const [index, point] of workload.points.entries()) {
    report.count('crash points')
    if (workload.fsync !== 'always' && point.promisedAt > 0) report.count('of them promise by an interval or a roll')
    report.count(`after ${point.change}`)
    for (const [which, { policy, drive }] of point.images.entries()) {
      const label = `${workload.seed}/${index}/${which}`
      try {
        await new Survivor(workload, point, drive, label).check()
      } catch (error) {
        const reason = error instanceof FatalError ? `${error.reason}: ${error.message}` : String(error)
        throw new Error(
          `KV_SEED=${seed}, ${longForm ? 'long' : 'short'} form, workload ${number} (fsync ${workload.fsync}), change ${index} (${point.change} ${point.path}), ${policy} (${which}): ${reason}`,
          { cause: error },
        )
      }
    }
  }
}

test('the power may go at every change of the disk: acknowledged stays, and nothing is half there', async () => {
  if (workloadAsked !== undefined) return survive(workloadAsked)
  const startedMs = Date.now()
  const goOn = (done: number): boolean => {
    if (workloadsAsked !== undefined || longForm) return done < (workloadsAsked ?? workloadsOfLongForm)
    return done < workloadsMin || Date.now() - startedMs < shortFormMs
  }
  for (let done = 0; goOn(done); done++) await survive(done + 1)
  if (report.figure('workloads') >= workloadsMin)
    expect(report.figure('torn tails'), 'without a torn tail little was shown').toBeGreaterThan(0)
})

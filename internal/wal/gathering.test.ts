import { expect, test } from 'vitest'
import { limits } from '../base/index.js'
import type { Clock } from '../env/index.js'
import { SimWorld } from '../env-sim/index.js'
import { Gathering } from './gathering.js'

/** Commits that wait, and a gathering over them; `turns` counts how often it let the event loop turn. */
class Fixture {
  readonly world = new SimWorld({ seed: 'gathering' })
  commits = 0
  turns = 0
  readonly #clock: Clock = this.world.process('node').clock
  readonly #gathering = new Gathering(
    {
      wallMs: () => this.#clock.wallMs(),
      monotonicMs: () => this.#clock.monotonicMs(),
      setTimer: (delayMs, fire) => this.#clock.setTimer(delayMs, fire),
      defer: (fire) => {
        this.turns++
        this.#clock.defer(fire)
      },
    },
    () => this.commits,
  )

  /** Each turn of the event loop brings a commit, so many times. */
  bring(commits: number): void {
    if (commits === 0) return
    this.#clock.defer(() => {
      this.commits++
      this.bring(commits - 1)
    })
  }

  /** Gathers. Resolves with the virtual milliseconds that it took. */
  async run(): Promise<number> {
    const beganMs = this.world.nowMs
    await this.world.settle(this.#gathering.run())
    return this.world.nowMs - beganMs
  }
}

test('one commit does not wait, not even for a turn', async () => {
  const given = new Fixture()
  await given.run()
  given.commits = 1
  given.bring(5)
  await given.run()
  expect(given).toMatchObject({ commits: 1, turns: 0 })
})

test('two commits that nobody joins wait for one turn', async () => {
  const given = new Fixture()
  given.commits = 2
  await given.run()
  expect(given.turns).toBe(1)
})

test('it goes on for as long as each turn brings a commit, and no turn longer', async () => {
  const given = new Fixture()
  given.commits = 2
  given.bring(7)
  await given.run()
  expect(given).toMatchObject({ commits: 9, turns: 8 })
})

test('where commits never end, it ends after its time', async () => {
  const given = new Fixture()
  given.commits = 2
  given.bring(1_000_000)
  const tookMs = await given.run()
  expect(tookMs).toBeGreaterThanOrEqual(limits.logGatherMs)
  expect(tookMs).toBeLessThan(limits.logGatherMs + 0.01)
})

test('as soon as they must not wait any longer, it ends with the turn', async () => {
  const given = new Fixture()
  given.commits = 2
  given.world.after(0.02, () => {
    given.commits = 0
  })
  given.bring(1_000)
  expect(await given.run()).toBeLessThan(0.03)
})

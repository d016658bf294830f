import { describe, expect, test } from 'vitest'
import { type BrokenRule, brokenRules, HandoverModel, type ModelSettings } from './handover-model.test-support.js'

/** Marsaglia's xorshift: the runs are the same ones each time. */
function randomOf(seed: number): () => number {
  let state = Math.imul(seed + 1, 0x9e3779b1) | 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

const settings: readonly ModelSettings[] = [
  { replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
  { replicationFactor: 3, readQuorum: 1, writeQuorum: 3 },
  { replicationFactor: 3, readQuorum: 3, writeQuorum: 2 },
  { replicationFactor: 2, readQuorum: 1, writeQuorum: 2 },
  { replicationFactor: 5, readQuorum: 3, writeQuorum: 3 },
]

interface Outcome {
  violations: string[]
  reads: number
  writes: number
  handovers: number
  cancelled: number
}

/** Until something is noticed, at most so many runs. */
async function play(runs: number, events: number, broken?: BrokenRule): Promise<Outcome> {
  const outcome: Outcome = { violations: [], reads: 0, writes: 0, handovers: 0, cancelled: 0 }
  for (let seed = 0; seed < runs && outcome.violations.length === 0; seed++) {
    const which = settings[seed % settings.length]!
    const model = new HandoverModel(randomOf(seed), which.replicationFactor + 1 + (seed % 2), which, broken)
    const violation = await model.run(events)
    if (violation !== undefined) outcome.violations.push(`seed ${seed}: ${violation}`)
    for (const what of ['reads', 'writes', 'handovers', 'cancelled'] as const) outcome[what] += model.done[what]
  }
  return outcome
}

test('whatever moves, whoever is behind: no read is older than what was acknowledged or read before it', async () => {
  const { violations, reads, writes, handovers, cancelled } = await play(600, 1_500)
  expect(violations).toEqual([])
  // It is no proof that nothing goes wrong where nothing comes about.
  expect(reads).toBeGreaterThan(3_000)
  expect(writes).toBeGreaterThan(1_000)
  expect(handovers).toBeGreaterThan(300)
  expect(cancelled).toBeGreaterThan(100)
}, 120_000)

describe('a rule that is broken is noticed', () => {
  test.each(brokenRules)(
    '%s',
    async (rule) => {
      const { violations } = await play(3_000, 1_500, rule)
      expect(violations).toHaveLength(1)
      expect(violations[0]).toMatch(/returned|got/)
    },
    120_000,
  )
})

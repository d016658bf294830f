import { expect, test } from 'vitest'
import { runSeed } from './play/run.js'
import type { Scenario } from './play/scenario.js'

/** Three nodes or more, so that the others can agree to take one back and have what it had; the rest as the seed says. */
function wiping(scenario: Scenario): Scenario {
  const faults = { ...scenario.faults, wipe: 1 }
  if (scenario.nodes >= 3) return { ...scenario, faults }
  return { ...scenario, nodes: 3, replication: { replicationFactor: 3, readQuorum: 2, writeQuorum: 2 }, faults }
}

test('nodes are wiped among all other faults: what clients were told stays true', { timeout: 300_000 }, async () => {
  let wipes = 0
  for (let seed = 1; seed <= 8; seed++) {
    const { violations, faults } = await runSeed(seed, { adapt: wiping })
    expect({ seed, violations }).toEqual({ seed, violations: [] })
    wipes += faults.wipe ?? 0
  }
  expect(wipes).toBeGreaterThan(25)
})

import { describe, expect, test } from 'vitest'
import { SwimModel } from '../../bench/src/swim-model.js'
import { limits } from '../base/index.js'

const sizes = [2, 3, 5, 10, 30]

describe('a killed node', () => {
  test.each(sizes)('is dead for all of %i soon, nobody else is accused, and its restart is noticed', (nodes) => {
    for (let seed = 1; seed <= 5; seed++) {
      const model = new SwimModel({ nodes, seed })
      model.run(10_000)
      expect(model.events.every(({ kind }) => kind === 'alive')).toBe(true)
      model.kill(nodes)
      expect(model.runUntil(() => model.allThink(nodes, 'dead'), 30_000)).toBe(true)
      expect(model.events.filter(({ kind, number }) => kind !== 'alive' && number !== nodes)).toEqual([])
      model.start(nodes)
      expect(model.runUntil(() => model.allWell(), 5_000)).toBe(true)
      expect(model.traffic.largestBytes).toBeLessThanOrEqual(limits.swimMessageBytesMax)
    }
  })
})

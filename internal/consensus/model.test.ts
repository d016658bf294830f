import { expect, test } from 'vitest'
import { flaw, keyOf, type Shell, soundShell, successors, type World, worldOf } from './model.test-support.js'

interface Exploration {
  readonly worlds: number
  /** No world was left out. */
  readonly complete: boolean
  readonly flaw: string | undefined
}

/** Breadth first through every world, each once. */
function explore(start: World, shell: Shell, worldsMax: number): Exploration {
  const seen = new Set([keyOf(start)])
  let frontier = [start]
  while (frontier.length > 0) {
    const next: World[] = []
    for (const world of frontier) {
      for (const successor of successors(world, shell)) {
        const key = keyOf(successor)
        if (seen.has(key)) continue
        const found = flaw(successor)
        if (found !== undefined) return { worlds: seen.size, complete: false, flaw: found }
        if (seen.size >= worldsMax) return { worlds: seen.size, complete: false, flaw: undefined }
        seen.add(key)
        next.push(successor)
      }
    }
    frontier = next
  }
  return { worlds: seen.size, complete: true, flaw: undefined }
}

/** Follows one random event after the other, from the start again and again. The first flaw, or undefined. */
function wander(start: World, shell: Shell, walks: number, seed: number): string | undefined {
  let random = seed
  for (let walk = 0; walk < walks; walk++) {
    for (let world = start, steps = 0; steps < 60; steps++) {
      const ways = [...successors(world, shell)]
      if (ways.length === 0) break
      random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0
      world = ways[Math.floor((random / 2 ** 32) * ways.length)]!
      const found = flaw(world)
      if (found !== undefined) return found
    }
  }
  return undefined
}

const long = { timeout: 240_000 }

test('two proposers, a crash, any loss, copies and order of messages: one value at most is decided', long, () => {
  const found = explore(worldOf([['a'], ['b']], 1), soundShell, 200_000)
  expect(found).toMatchObject({ complete: true, flaw: undefined })
  expect(found.worlds).toBeGreaterThan(10_000)
})

test('a look that begins after a decision sees it, whatever is lost and whoever crashes', long, () => {
  const found = explore(worldOf([['a'], [undefined]], 1), soundShell, 200_000)
  expect(found).toMatchObject({ complete: true, flaw: undefined })
})

test('several rounds of both, and crashes in between: still one value', long, () => {
  expect(
    wander(
      worldOf(
        [
          ['a', 'c', 'e'],
          ['b', undefined],
        ],
        2,
      ),
      soundShell,
      1_500,
      1,
    ),
  ).toBeUndefined()
})

test('replies that do not wait until they are durable decide two values, and this check sees it', long, () => {
  const hasty: Shell = { ...soundShell, reply: 'before-writing' }
  expect(wander(worldOf([['a'], ['b', 'd']], 2), hasty, 20_000, 1)).toMatch(/^decided: /)
})

test('a proposer that does not wait for its own promise uses a ballot twice, and this check sees it', long, () => {
  const eager: Shell = { ...soundShell, ask: 'all-at-once' }
  expect(explore(worldOf([['a', 'c'], ['b']], 1), eager, 200_000).flaw).toBe('decided: a and c')
})

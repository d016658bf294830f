import { expect, test } from 'vitest'
import { alternate } from './rounds.js'

test('rounds alternate: each phase of all, one after the other, and every other round backwards', async () => {
  const done: string[] = []
  const results = await alternate(['A', 'B', 'C'], ['r', 'w'], 3, (contestant, phase, round) => {
    done.push(`${contestant}${phase}${round}`)
    return Promise.resolve(`${contestant}${phase}${round}`)
  })
  expect(done.join(' ')).toBe(
    ['Ar0 Br0 Cr0 Aw0 Bw0 Cw0', 'Cr1 Br1 Ar1 Cw1 Bw1 Aw1', 'Ar2 Br2 Cr2 Aw2 Bw2 Cw2'].join(' '),
  )
  expect(results[1]).toEqual([
    ['Br0', 'Br1', 'Br2'],
    ['Bw0', 'Bw1', 'Bw2'],
  ])
})

test('nothing runs beside another, and an error ends the rounds', async () => {
  let running = 0
  let done = 0
  const rounds = alternate(['A', 'B'], ['r'], 3, async (contestant, _, round) => {
    expect(++running).toBe(1)
    await Promise.resolve()
    running--
    done++
    if (contestant === 'B' && round === 1) throw new Error('B has failed')
  })
  await expect(rounds).rejects.toThrow('B has failed')
  expect(done).toBe(3)
})

import { expect, test } from 'vitest'
import { put, SimStore } from './fixture.conformance.js'

test('a recovery that takes long says each second how far it has come and when it will be done', async () => {
  const said: Readonly<Record<string, unknown>>[] = []
  const info = (message: string, fields?: Readonly<Record<string, unknown>>): void => {
    if (message === 'recovering') said.push(fields!)
  }
  const sim = new SimStore('progress', { log: { debug() {}, info, warn() {}, error() {} } })
  await sim.open()
  for (let i = 1; i <= 20; i++) await sim.settle(sim.store.commit([put(`key-${i}`, i, 'x'.repeat(200))]))
  await sim.settle(sim.store.snapshot())
  for (let i = 21; i <= 400; i++) await sim.settle(sim.store.commit([put(`key-${i}`, i, 'x'.repeat(200))]))
  await sim.settle(sim.store.close())
  expect(said).toEqual([])
  sim.drive.faults.setExtraDelayMs(100)
  await sim.open()
  expect(said.length).toBeGreaterThan(3)
  const percents = said.map((fields) => fields['percent'] as number)
  expect(percents).toEqual([...percents].sort((a, b) => a - b))
  expect(percents.at(-1)!).toBeGreaterThan(50)
  expect(percents.every((percent) => percent <= 100)).toBe(true)
  const left = said.map((fields) => fields['remainingMs'] as number)
  expect(left.at(-1)!).toBeLessThan(left[0]!)
  expect(said.at(-1)).toMatchObject({ from: 'log', sequence: expect.any(Number), records: expect.any(Number) })
})

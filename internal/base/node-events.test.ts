import { expect, test } from 'vitest'
import { limits } from './limits.js'
import { NodeEvents } from './node-events.js'

test('events are numbered from 1 and told behind a number, the oldest first', () => {
  let nowMs = 10
  const events = new NodeEvents(() => nowMs++)
  expect(events.after(0)).toEqual([])
  events.add('dead', 'n2', 'it is dead')
  events.add('alive', 'n2', 'it is back')
  expect(events.after(0).map(({ number, atMs, kind }) => [number, atMs, kind])).toEqual([
    [1, 10, 'dead'],
    [2, 11, 'alive'],
  ])
  expect(events.after(1).map(({ kind }) => kind)).toEqual(['alive'])
  expect(events.after(2)).toEqual([])
  expect(events.after(99)).toEqual([])
})

test('the oldest are forgotten, and the numbers show it', () => {
  const events = new NodeEvents(() => 0)
  for (let i = 0; i < limits.nodeEventsMax + 3; i++) events.add('slow', '', `${i}`)
  const all = events.after(0)
  expect(all).toHaveLength(limits.nodeEventsMax)
  expect(all[0]).toMatchObject({ number: 4, text: '3' })
  expect(all.at(-1)?.number).toBe(limits.nodeEventsMax + 3)
})

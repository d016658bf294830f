import { expect, it } from 'vitest'
import { EventLog, type ToldEvent } from './events.js'
import { eventsKept } from './view.js'

const dead = (atMs: number, subject: string = 'n3'): ToldEvent => ({ atMs, kind: 'dead', subject, text: `by ${atMs}` })

it('what several members have seen is one event, at the time of the first', () => {
  const log = new EventLog()
  log.add('n1', [dead(1_000)])
  log.add('n2', [dead(900)])
  expect(log.events).toEqual([{ id: 1, atMs: 900, kind: 'dead', subject: 'n3', text: 'by 1000', seenBy: ['n1', 'n2'] }])
})

it('what happens again later, or to another, is another event', () => {
  const log = new EventLog()
  log.add('n1', [dead(1_000), dead(90_000), dead(1_000, 'n4')])
  expect(log.events.map(({ subject, atMs }) => [subject, atMs])).toEqual([
    ['n3', 1_000],
    ['n4', 1_000],
    ['n3', 90_000],
  ])
})

it('what one member sees twice has happened twice, however soon', () => {
  const log = new EventLog()
  log.add('n1', [dead(1_000)])
  log.add('n1', [dead(2_000)])
  log.add('n2', [dead(2_100)])
  expect(log.events.map(({ atMs, seenBy }) => [atMs, seenBy])).toEqual([
    [1_000, ['n1']],
    [2_000, ['n1', 'n2']],
  ])
})

it('what each member does for itself is told for each', () => {
  const log = new EventLog()
  for (const id of ['n1', 'n2']) log.add(id, [{ atMs: 5, kind: 'snapshot', subject: '', text: 'written' }])
  for (const id of ['n1', 'n2']) log.add(id, [{ atMs: 6, kind: 'repaired', subject: 'n3', text: 'made equal' }])
  expect(log.events.map(({ subject, seenBy }) => [subject, seenBy[0]])).toEqual([
    ['n1', 'n1'],
    ['n2', 'n2'],
    ['n3', 'n1'],
    ['n3', 'n2'],
  ])
})

it('the oldest are forgotten', () => {
  const log = new EventLog()
  for (let i = 0; i < eventsKept + 10; i++) log.add('n1', [dead(i * 60_000)])
  expect(log.events).toHaveLength(eventsKept)
  expect(log.events[0]!.atMs).toBe(600_000)
})

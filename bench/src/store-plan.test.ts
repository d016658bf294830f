import { expect, test } from 'vitest'
import { type PlanOptions, planOf } from './store-plan.js'
import { figureNames } from './store-report.js'

const everything: PlanOptions = { figures: figureNames, quick: false, fsync: ['never', 'always'] }

function tasksOf(options: Partial<PlanOptions>) {
  return planOf({ ...everything, ...options }).flatMap(({ tasks }) => tasks)
}

test('the full form has what it is named for', () => {
  const tasks = tasksOf({})
  for (const fsync of everything.fsync) {
    expect(tasks).toContainEqual(
      expect.objectContaining({
        kind: 'stress',
        fsync,
        keys: 1_000_000,
        operations: 5_000_000,
        windows: { windowMs: 5000, count: 5 },
        batchRecords: 64,
      }),
    )
  }
  const sizes = tasks.flatMap((task) => (task.kind === 'put-get' && task.gets > 0 ? [task.keys] : []))
  expect(sizes).toEqual([100_000, 1_000_000])
  for (const task of tasks) if (task.kind === 'put-get') expect(task.batches).toEqual([32, 256])
  const memory = tasks.flatMap((task) => (task.kind === 'memory' ? [task.entries] : []))
  expect(memory).toEqual([1_000_000, 10_000_000, 20_000_000])
  expect(tasks).toContainEqual(expect.objectContaining({ kind: 'snapshot', entries: 5_000_000 }))
  expect(tasks).toContainEqual(expect.objectContaining({ kind: 'recover', from: 'snapshot', entries: 5_000_000 }))
  expect(tasks).toContainEqual(expect.objectContaining({ kind: 'commits', writers: [1, 16, 256] }))
})

test('the quick form has every section that the full one has, but the largest tables', () => {
  const kinds = (quick: boolean) => [...new Set(tasksOf({ quick }).map(({ kind }) => kind))]
  expect(kinds(true)).toEqual(kinds(false))
  expect(JSON.stringify(tasksOf({ quick: true }))).not.toMatch(/[12]0000000/)
})

test('only what was chosen is done', () => {
  expect(planOf({ ...everything, figures: ['commits'] }).map(({ figure }) => figure)).toEqual(['commits'])
  const tasks = tasksOf({ figures: ['stress', 'put-get'], fsync: ['interval'] })
  for (const task of tasks) expect(task).toHaveProperty('fsync', 'interval')
})

test('gets, which fsync does not concern, are measured once for each number of keys', () => {
  for (const fsync of [['never', 'always'], ['always', 'never'], ['always']] as const) {
    const tasks = tasksOf({ figures: ['put-get'], fsync })
    expect(tasks.filter((task) => task.kind === 'put-get' && task.gets > 0)).toHaveLength(2)
  }
})

test('what is recovered was filled on the same directory, by another process, to the same size', () => {
  for (const quick of [true, false]) {
    const steps = planOf({ ...everything, quick, figures: ['recovery'] })
    expect(steps).toHaveLength(2)
    for (const { tasks } of steps) {
      const [fill, recover] = tasks
      expect(fill).toMatchObject({ kind: 'fill' })
      expect(recover).toMatchObject({ kind: 'recover' })
      if (fill?.kind !== 'fill' || recover?.kind !== 'recover') throw new Error('not the tasks of a recovery')
      expect(recover.entries).toBe(fill.entries)
      expect(recover.from).toBe(fill.snapshot ? 'snapshot' : 'log')
    }
  }
})

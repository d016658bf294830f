import { describe, expect, it } from 'vitest'
import { UsageError } from '../exit.js'
import { KeySpace } from './key-space.js'
import type { OperationKind } from './target.js'
import { LoadSource, parseWorkload, scanEntriesMax, type Workload, WorkloadSource, workloads } from './workload.js'

interface Drawn {
  readonly kind: OperationKind
  readonly key: number
  readonly scanCount: number
}

/** Draws operations; inserts end at once, unless told otherwise. */
function take({ mix, distribution }: Workload, count: number, seed = '1', keys = new KeySpace(1000)): Drawn[] {
  const source = new WorkloadSource(mix, distribution, keys, seed)
  return Array.from({ length: count }, () => {
    expect(source.advance()).toBe(true)
    const { kind, key, scanCount } = source
    if (kind === 'insert') keys.ended(key)
    return { kind, key, scanCount }
  })
}

it.each(workloads)('$name has its kinds by their shares, and nothing else', (workload) => {
  const drawn = take(workload, 50_000)
  const kinds = Object.entries(workload.mix) as [OperationKind, number][]
  expect(kinds.reduce((total, [, share]) => total + share, 0)).toBeCloseTo(1, 12)
  for (const [kind, share] of kinds) {
    expect(drawn.filter((one) => one.kind === kind).length / drawn.length).toBeCloseTo(share, 2)
  }
  expect(new Set(drawn.map(({ kind }) => kind))).toEqual(new Set(kinds.map(([kind]) => kind)))
})

it('the same seed gives the same operations, another seed gives others', () => {
  const mixed = parseWorkload('mixed', 'w')
  expect(take(mixed, 500)).toEqual(take(mixed, 500))
  expect(take(mixed, 500)).not.toEqual(take(mixed, 500, '2'))
})

it('inserts go to keys that are not there, one after the other', () => {
  const inserted = take(parseWorkload('ycsb-d', 'w'), 2000).filter(({ kind }) => kind === 'insert')
  expect(inserted.map(({ key }) => key)).toEqual(inserted.map((_, i) => 1000 + i))
})

it('an insert that finds no place is an update of a key that is there', () => {
  const keys = new KeySpace(10)
  while (keys.issue() !== undefined);
  const drawn = take({ name: 'w', mix: { insert: 1 }, distribution: 'uniform' }, 100, '1', keys)
  expect(new Set(drawn.map(({ kind }) => kind))).toEqual(new Set(['update']))
  expect(Math.max(...drawn.map(({ key }) => key))).toBeLessThan(10)
})

it('the popular places of scans stay where they are while keys are added', () => {
  const keys = new KeySpace(1000)
  const { mix, distribution } = parseWorkload('ycsb-e', 'w')
  const source = new WorkloadSource(mix, distribution, keys, '1')
  const mostPopular = (): number => {
    const counts = new Map<number, number>()
    for (let i = 0; i < 5000; i++) {
      source.advance()
      if (source.kind === 'insert') keys.ended(source.key)
      else counts.set(source.scanStart, (counts.get(source.scanStart) ?? 0) + 1)
    }
    const [[place]] = [...counts].sort(([, a], [, b]) => b - a) as [[number, number]]
    return place
  }
  const place = mostPopular()
  for (let i = 0; i < 3; i++) expect(mostPopular()).toBe(place)
  expect(keys.readable).toBeGreaterThan(1500)
})

it('scans ask for one to a hundred entries, each number alike', () => {
  const counts = take(parseWorkload('ycsb-e', 'w'), 20_000).flatMap((one) =>
    one.kind === 'scan' ? [one.scanCount] : [],
  )
  expect([Math.min(...counts), Math.max(...counts)]).toEqual([1, scanEntriesMax])
  expect(counts.reduce((total, count) => total + count, 0) / counts.length).toBeCloseTo(50.5, -1)
})

describe('a workload by name', () => {
  it('may be reads and updates in percent', () => {
    expect(parseWorkload('70/30', 'w')).toMatchObject({ mix: { read: 0.7, update: 0.3 }, distribution: 'uniform' })
  })

  it.each(['', 'ycsb-g', 'Mixed', '50/60', '50', '/100', '-5/105', '50.5/49.5', 'constructor'])('not %j', (text) => {
    expect(() => parseWorkload(text, '--workload')).toThrow(UsageError)
    expect(() => parseWorkload(text, '--workload')).toThrow(/ycsb-a.*70\/30/)
  })
})

it('the load writes every key once and in order, and then ends', () => {
  const source = new LoadSource(3)
  const keys: number[] = []
  while (source.advance()) keys.push(source.key)
  expect(keys).toEqual([0, 1, 2])
  expect(source.advance()).toBe(false)
})

import { expect, test } from 'vitest'
import { loadSource, type Operation, type Source, uniformSource } from './workload.js'

function take(source: Source, count: number): Operation[] {
  return Array.from({ length: count }, () => source()!)
}

test('the load puts every key once and then ends', () => {
  const source = loadSource(3)
  expect(take(source, 3)).toEqual([0, 1, 2].map((key) => ({ kind: 'put', key })))
  expect(source()).toBeUndefined()
})

test('the same seed gives the same operations, another seed gives others', () => {
  const mix = { getPercent: 50, putPercent: 50 }
  const operations = (seed: string) => take(uniformSource(1000, mix, seed), 200)
  expect(operations('a')).toEqual(operations('a'))
  expect(operations('a')).not.toEqual(operations('b'))
})

test('gets and puts come in their shares, over all keys alike', () => {
  const keys = 10
  const operations = take(uniformSource(keys, { getPercent: 95, putPercent: 5 }, '1'), 100_000)
  const gets = operations.filter(({ kind }) => kind === 'get')
  expect(gets.length / operations.length).toBeCloseTo(0.95, 2)
  for (let key = 0; key < keys; key++) {
    const share = operations.filter((operation) => operation.key === key).length / operations.length
    expect(share).toBeCloseTo(1 / keys, 2)
  }
})

test('a mix of one kind holds nothing of the other', () => {
  const onlyGets = take(uniformSource(5, { getPercent: 100, putPercent: 0 }, '1'), 10_000)
  expect(new Set(onlyGets.map(({ kind }) => kind))).toEqual(new Set(['get']))
  const onlyPuts = take(uniformSource(5, { getPercent: 0, putPercent: 100 }, '1'), 10_000)
  expect(new Set(onlyPuts.map(({ kind }) => kind))).toEqual(new Set(['put']))
})

import { expect, it } from 'vitest'
import type { ClusterView, LoadView, NodeView, OperationLoad } from '../../../src/feed/view.js'
import { clusterOf, nodeOf } from '../../../src/feed/view.test-support.js'
import { History, secondsKept, wholeCluster } from './history.js'

const load = (rate: number, p50: number, p99: number): LoadView => {
  const get: OperationLoad = { rate, errors: 1, p50, p99, p999: p99, max: p99 }
  return { coordinator: { get }, replica: {}, codes: {}, quorumFailures: 0 }
}

function viewOf(second: number, nodes: readonly NodeView[]): ClusterView {
  return { ...clusterOf(nodes), atMs: second * 1_000, health: { level: 'ok', sentence: '', advice: [] } }
}

it('rates of the cluster are added up, the middle p50 and the worst p99 are taken', () => {
  const history = new History()
  history.add(
    viewOf(1, [
      nodeOf(1, { load: load(10, 100, 900) }),
      nodeOf(2, { load: load(20, 300, 500) }),
      nodeOf(3, { load: load(5, 200, 100) }),
    ]),
  )
  expect(history.values(wholeCluster, 'get')).toEqual([35])
  expect(history.values(wholeCluster, 'errors')).toEqual([3])
  expect(history.values(wholeCluster, 'readP50')).toEqual([200])
  expect(history.values(wholeCluster, 'readP99')).toEqual([900])
  expect(history.values('n2', 'get')).toEqual([20])
})

it('a second in which a node told nothing is a gap, and no other node fills it', () => {
  const history = new History()
  const silent = nodeOf(2, { load: load(20, 1, 1), telling: { ok: false, obstacle: 'x' } })
  history.add(viewOf(1, [nodeOf(1, { load: load(1, 1, 1) }), nodeOf(2, { load: load(2, 1, 1) })]))
  history.add(viewOf(2, [nodeOf(1, { load: load(3, 1, 1) }), silent]))
  expect(history.values('n2', 'get')).toEqual([2, null])
  expect(history.value('n2', 'get', -1)).toBeUndefined()
  expect(history.value('n2', 'get', 0)).toBe(2)
  expect(history.values(wholeCluster, 'get')).toEqual([3, 3])
})

it('the last ten minutes are kept, in order, and what was there before is forgotten', () => {
  const history = new History()
  const seconds = secondsKept + 5
  for (let second = 1; second <= seconds; second++) {
    // This member is away while the ring of samples is filled for the second time.
    const telling = { ok: second <= secondsKept, obstacle: '' }
    history.add(
      viewOf(second, [nodeOf(1, { load: load(second, 1, 1) }), nodeOf(2, { load: load(second, 1, 1), telling })]),
    )
  }
  expect(history.times()).toHaveLength(secondsKept)
  expect(history.times().slice(0, 2)).toEqual([6, 7])
  expect(history.values('n1', 'get').at(0)).toBe(6)
  expect(history.value('n1', 'get', -1)).toBe(seconds)
  expect(history.values('n2', 'get').slice(-6)).toEqual([secondsKept, null, null, null, null, null])
})

it('nothing is kept of a member that has gone', () => {
  const history = new History()
  history.add(viewOf(1, [nodeOf(1), nodeOf(2, { load: load(2, 1, 1) })]))
  history.add(viewOf(2, [nodeOf(1)]))
  expect(history.values('n2', 'get')).toEqual([null, null])
})

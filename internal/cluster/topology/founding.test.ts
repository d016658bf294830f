import { expect, test } from 'vitest'
import type { Address, Incarnation, NodeId } from '../../base/index.js'
import { silentLog } from '../../env/index.js'
import { ManualClock } from '../../replication/replication.test-support.js'
import { softwareLevels } from '../../slots/index.js'
import { Founding } from './founding.js'

test('a node that waits for others to form a cluster says why each does not answer', () => {
  const clock = new ManualClock()
  const warned: unknown[] = []
  const [incarnation, address] = ['0'.repeat(32) as Incarnation, 'host1:1' as Address]
  const place = { address, zone: '', weight: 1 }
  const local = { id: 'n1' as NodeId, incarnation, ...place, levels: softwareLevels, authenticates: false }
  const founding = new Founding({
    clock,
    local,
    named: ['host1:1', 'host2:1', 'host3:1'] as Address[],
    dial: () => {},
    obstacle: (at) => (at === 'host2:1' ? 'connect host2:1: it does not speak TLS' : ''),
    announce: () => {},
    log: { ...silentLog, warn: (message, facts) => warned.push([message, facts]) },
    mayFound: true,
    found: () => {},
  })
  founding.start()
  clock.advance(6_000)
  founding.end()
  const unanswered = { 'host2:1': 'connect host2:1: it does not speak TLS', 'host3:1': 'no answer yet' }
  expect(warned).toEqual([
    [expect.stringContaining('every node that was named must answer'), { met: ['n1@host1:1'], unanswered }],
  ])
})

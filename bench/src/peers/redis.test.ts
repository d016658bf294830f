import { expect, test } from 'vitest'
import { onlineReplicas } from './redis.js'
import { checkWaited, NoReplicaError } from './redis-target.js'

test('a replica counts once the primary has it online', () => {
  const info = [
    '# Replication',
    'role:master',
    'connected_slaves:2',
    'slave0:ip=127.0.0.1,port=7001,state=online,offset=14,lag=0',
    'slave1:ip=127.0.0.1,port=7002,state=wait_bgsave,offset=0,lag=0',
  ].join('\r\n')
  expect(onlineReplicas(info)).toBe(1)
  expect(onlineReplicas(info.replace('wait_bgsave', 'online'))).toBe(2)
  expect(onlineReplicas('role:master\r\nconnected_slaves:0')).toBe(0)
})

test('a write that no replica acknowledged is an error, and one that failed is that error', () => {
  expect(() =>
    checkWaited([
      [null, 'OK'],
      [null, 1],
    ]),
  ).not.toThrow()
  expect(() =>
    checkWaited([
      [null, 'OK'],
      [null, 0],
    ]),
  ).toThrow(NoReplicaError)
  expect(() =>
    checkWaited([
      [new Error('OOM'), undefined],
      [null, 1],
    ]),
  ).toThrow('OOM')
  expect(() => checkWaited(null)).toThrow()
})

import type { Hello } from '@quorumkv/proto/kv/peer/v1/messages'
import { expect, test } from 'vitest'
import { judgeProof } from './handshake.js'

const proved = { nodeId: 'a', clusterId: 'c1' }

function hello(nodeId: string, clusterId: string): Hello {
  return { nodeId, clusterId } as Hello
}

test('who has proved nothing is believed: nobody had to', () => {
  expect(judgeProof(undefined, hello('a', 'c1'))).toBeUndefined()
})

test.each([
  ['the same', hello('a', 'c1'), undefined],
  ['no cluster yet', hello('a', ''), undefined],
  ['another name', hello('b', 'c1'), 'it calls itself b, and has proved to be a'],
  ['another cluster', hello('a', 'c2'), 'it calls itself a node of cluster c2, and has proved to be one of c1'],
])('who has proved to be somebody and says %s', (_what, said, message) => {
  expect(judgeProof(proved, said)?.message).toBe(message)
})

test('who had no cluster when it proved who it is may have joined one since', () => {
  expect(judgeProof({ nodeId: 'a', clusterId: '' }, hello('a', 'c1'))).toBeUndefined()
})

import { limits } from '@quorumkv/internal/base'
import { expect, it } from 'vitest'
import { FakeNode } from '../calls/fake-node.test-support.js'
import { testApp } from './app.test-support.js'

it('a body of JSON is taken up to the limit; with one byte more it is too large', async () => {
  const node = new FakeNode()
  const { app } = testApp(node)
  const put = async (bytes: number): Promise<number> => {
    const body = '{"value":"v"}'.padEnd(bytes, ' ')
    return (await app.request('/kv/k', { method: 'PUT', headers: { 'content-type': 'application/json' }, body })).status
  }
  expect(await put(limits.httpJsonBytesMax + 1)).toBe(413)
  expect(node.records.size).toBe(0)
  expect(await put(limits.httpJsonBytesMax)).toBe(200)
})

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import { KvClient } from '../index.js'
import { limits } from '../limits.js'
import { FakeCluster } from './fake-server.test-support.js'

const turnMs = 20

/** Lets through all that the client sends, and of what the node sends so many bytes in a turn. */
async function slowLine(to: string, bytesPerTurn: number): Promise<{ server: Server; connections: () => number }> {
  let connections = 0
  const server = createServer((client) => {
    connections++
    const node: Socket = connect(Number(to.split(':')[1]), '127.0.0.1')
    for (const socket of [client, node]) socket.on('error', () => undefined)
    client.pipe(node)
    const waiting: Buffer[] = []
    node.on('data', (bytes: Buffer) => {
      for (let at = 0; at < bytes.length; at += bytesPerTurn) waiting.push(bytes.subarray(at, at + bytesPerTurn))
    })
    const timer = setInterval(() => {
      const next = waiting.shift()
      if (next !== undefined) client.write(next)
    }, turnMs)
    client.on('close', () => {
      clearInterval(timer)
      node.destroy()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, connections: () => connections }
}

test('a value that takes longer on its way than a node may be silent comes, on one connection', async () => {
  const cluster = await FakeCluster.start(1)
  const [address] = cluster.endpoints
  const value = 'x'.repeat(1_000_000)
  await using near = new KvClient({ endpoints: [address!] })
  await near.put('big', value)
  const { server, connections } = await slowLine(address!, 8_000)
  const line = `127.0.0.1:${(server.address() as AddressInfo).port}`
  await using far = new KvClient({ endpoints: [line], addressMap: { [address!]: line } })
  try {
    await far.ready()
    const before = connections()
    const beganMs = performance.now()
    const got = await far.get('big', { timeoutMs: 30_000 })
    expect(got === value).toBe(true)
    expect(performance.now() - beganMs).toBeGreaterThan(limits.stallMs + limits.probeTimeoutMs)
    expect(connections()).toBe(before)
  } finally {
    await far.close()
    server.close()
    cluster.stop()
  }
})

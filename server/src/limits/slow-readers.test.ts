import type { Http2Session } from 'node:http2'
import { GetRequest, type Operation, ScanRequest, SessionRequest } from '@quorumkv/proto/kv/v1/kv'
import { describe, expect, it } from 'vitest'
import { FakeNode } from '../calls/fake-node.test-support.js'
import { eventually, openAccess, startServices, type TestServices } from '../calls/services.test-support.js'
import type { GuardedHttp2Server } from './http2-guard.js'
import { begun, framed, RawFrames, RawHttp2 } from './raw-http2.test-support.js'

const key = Buffer.from('k')
const getRequest = framed(GetRequest.encode({ key, consistency: 0 }).finish())
const scanRequest = framed(
  ScanRequest.encode({
    prefix: Buffer.alloc(0),
    cursor: Buffer.alloc(0),
    pageSize: 2,
    consistency: 0,
    keysOnly: false,
  }).finish(),
)

/** Asks for `k` in a session. */
function sessionGet(id: number): Buffer {
  const operation: Operation = {
    ...{ id, timeoutMs: 0, stampAboveMs: 0n, stampLimitMs: 0n, traceparent: '' },
    request: { $case: 'get', value: { key, consistency: 0 } },
  }
  return framed(SessionRequest.encode({ observedHlc: 0n, operations: [operation], cancelled: [] }).finish())
}

/** A node with so many values of so many bytes. */
async function nodeWith(values: number, bytes: number): Promise<FakeNode> {
  const node = new FakeNode()
  const options = { consistency: 'quorum', deadlineMs: Number.POSITIVE_INFINITY } as const
  for (let i = 0; i < values; i++) await node.put(Buffer.from(i === 0 ? 'k' : `k${i}`), Buffer.alloc(bytes), options)
  return node
}

function start(node: FakeNode, tuning: Parameters<typeof startServices>[2]): Promise<TestServices> {
  return startServices(node, () => openAccess, { checkMs: 10, ...tuning })
}

/** Asks for `k` so many times, with all the room that there may be, and takes nothing from its connection. */
function askAndTakeNothing(services: TestServices, times: number): RawFrames {
  const deaf = new RawFrames(services.address)
  deaf.socket.pause()
  const most = 2 ** 30
  deaf.allow(0, most)
  for (let i = 0; i < times; i++) {
    const id = 2 * i + 1
    deaf.call(id, 'Get')
    deaf.allow(id, most)
    deaf.data(id, getRequest, true)
  }
  return deaf
}

describe('a reader that takes nothing', () => {
  it('of a session is cut off', async () => {
    await using services = await start(await nodeWith(1, 500_000), { readerStallMs: 300 })
    using raw = new RawHttp2(services.address)
    const session = raw.call('Session')
    for (let id = 1; id <= 4; id++) session.write(sessionGet(id))
    await eventually('it is cut off', () => services.host.guard.peers.cut > 0)
    await eventually('nothing is left', () => services.host.guard.waitingBytes === 0 && services.sessions.size === 0)
  })

  it('of a session that has ended still counts with all that waits for it, until it is cut off', async () => {
    await using services = await start(await nodeWith(1, 1_000_000), { readerStallMs: 500 })
    using raw = new RawHttp2(services.address)
    const { host, sessions } = services
    const session = raw.call('Session')
    for (let id = 1; id <= 7; id++) session.write(sessionGet(id))
    await eventually('all results wait', () => sessions.heldBytes > 7_000_000)
    session.write(framed(Buffer.from('this is no request')))
    await eventually('it has ended', () => sessions.size === 0)
    expect(sessions.heldBytes).toBeGreaterThan(7_000_000)
    await eventually('it is cut off', () => host.guard.peers.cut > 0)
    await eventually('nothing is left', () => sessions.heldBytes === 0 && host.guard.read().calls === 0)
  })

  it('of a scan is cut off, and not more than a page is read for it meanwhile', async () => {
    const node = await nodeWith(20, 100_000)
    await using services = await start(node, { readerStallMs: 300 })
    using raw = new RawHttp2(services.address)
    raw.call('Scan').end(scanRequest)
    await eventually('it is cut off', () => services.host.guard.peers.cut === 1)
    await eventually('nothing is left', () => services.host.guard.waitingBytes === 0)
    expect(node.scans).toBeLessThan(4)
  })

  it('of its whole connection loses it, where too much waits', async () => {
    await using services = await start(await nodeWith(1, 1_000_000), { answerBytesMax: 30_000_000 })
    using deaf = askAndTakeNothing(services, 60)
    const { guard } = services.host
    await eventually('it is cut off', () => guard.peers.cut === 1)
    await eventually('it is closed, though it takes nothing', () => guard.gate.open === 0)
    await eventually('nothing is left', () => guard.waitingBytes === 0)
    expect(deaf.closed).toBe(false)
  })

  it('of its whole connection loses it also where it is the library that gives it up', async () => {
    const sessions: Http2Session[] = []
    const watch = (server: GuardedHttp2Server): void => void server.on('session', (session) => sessions.push(session))
    await using services = await start(await nodeWith(1, 1_000_000), { watch, cutGraceMs: 100 })
    using deaf = askAndTakeNothing(services, 20)
    const { guard } = services.host
    await eventually('its answers wait', () => guard.waitingBytes > 19_000_000)
    // As when no ping is answered.
    sessions[0]!.destroy()
    await eventually('it is closed, though it takes nothing', () => guard.gate.open === 0)
    expect(deaf.closed).toBe(false)
  })
})

it('whose messages that are not complete hold all there is makes nobody else give them up', async () => {
  const node = await nodeWith(1, 1_000_000)
  await using services = await start(node, { receivedBytesMax: 50_000, cutGraceMs: 60_000 })
  const { guard } = services.host
  using deaf = new RawFrames(services.address, '127.0.0.3')
  deaf.socket.pause()
  const most = 2 ** 30
  deaf.allow(0, most)
  for (let id = 1; id <= 9; id += 2) {
    deaf.call(id, 'Put')
    deaf.data(id, begun(1_000_000, 9_985))
  }
  await eventually('all have begun', () => guard.receivedBytes === 49_950)
  for (let id = 101; id <= 139; id += 2) {
    deaf.call(id, 'Get')
    deaf.allow(id, most)
    deaf.data(id, getRequest, true)
  }
  await eventually('its answers wait', () => guard.waitingBytes > 15_000_000)
  using other = new RawHttp2(services.address, '127.0.0.2')
  const put = other.call('Put')
  put.write(begun(1_000_000, 995))
  await eventually('one of its own is reset', () => guard.peers.cut === 1)
  // Byte by byte: each of them finds that too much is held, until the connection is closed.
  await eventually('it is closed, though it takes nothing', () => {
    put.write(Buffer.alloc(1))
    return guard.gate.open === 1
  })
  await eventually('what it held is let go', () => guard.receivedBytes < 40_000)
  expect([put.closed, guard.peers.cut]).toEqual([false, 1])
})

describe('a reader that takes a little of what waits now and then', () => {
  /** Takes `bytes` every 20 ms of a session with 2 MB of results, each a message of its own. */
  async function trickle(services: TestServices, bytes: number, until: (taken: number) => boolean): Promise<number> {
    using slow = new RawFrames(services.address)
    slow.allow(0, 2 ** 30)
    slow.call(1, 'Session')
    for (let id = 1; id <= 20; id++) {
      slow.data(1, sessionGet(id))
      await new Promise((resolve) => setImmediate(resolve))
    }
    const { guard } = services.host
    await eventually('its first result waits', () => guard.waitingBytes > 0)
    const readBefore = slow.socket.bytesRead
    const timer = setInterval(() => slow.allow(1, bytes), 20)
    try {
      await eventually('it ends', () => until(slow.socket.bytesRead - readBefore))
    } finally {
      clearInterval(timer)
    }
    return slow.socket.bytesRead - readBefore
  }

  it('is cut off, though it never stands still, and gets nothing of what waited behind', async () => {
    await using services = await start(await nodeWith(1, 100_000), { readerStallMs: 800 })
    const { sessions, host } = services
    const taken = await trickle(services, 20_000, () => host.guard.peers.cut > 0 && sessions.heldBytes === 0)
    expect(taken).toBeGreaterThan(200_000)
    expect(taken).toBeLessThan(1_500_000)
    await eventually('nothing is left', () => host.guard.read().calls === 0)
  })

  it('is not, where that is all that waits', async () => {
    await using services = await start(await nodeWith(1, 100_000), { readerStallMs: 2_000 })
    const { guard } = services.host
    await trickle(services, 200_000, (taken) => taken > 1_900_000)
    await eventually('nothing waits', () => guard.waitingBytes === 0)
    expect(guard.peers.cut).toBe(0)
  })
})

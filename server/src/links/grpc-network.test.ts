import { type AddressInfo, createServer, type Socket } from 'node:net'
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { FatalError, limits } from '@quorumkv/internal/base'
import type { Channel, Link, LinkHandlers } from '@quorumkv/internal/env'
import { describe, expect, it } from 'vitest'
import { eventually, type LogLine, openAccess, recordingLog } from '../calls/services.test-support.js'
import { GrpcHost } from '../grpc/grpc-host.js'
import { exchangePath } from './exchange.js'

/** A link with what happened on it. */
class Recorder implements LinkHandlers {
  readonly link: Link
  readonly messages: Uint8Array[] = []
  readonly closes: string[] = []
  drains = 0

  constructor(link: Link) {
    this.link = link
    link.start(this)
  }

  message(bytes: Uint8Array): void {
    this.messages.push(bytes)
  }

  drain(): void {
    this.drains++
  }

  close(reason: string): void {
    this.closes.push(reason)
  }
}

interface Pair extends AsyncDisposable {
  readonly address: string
  readonly a: GrpcHost
  readonly accepted: Recorder[]
  readonly channels: Channel[]
  readonly bugs: unknown[]
  connect(channel?: Channel): Promise<Recorder>
}

/** Two hosts, of which the second listens. */
async function startPair(listening = true): Promise<Pair> {
  const bugs: unknown[] = []
  const [a, b] = [0, 1].map(() => new GrpcHost(recordingLog([]), (error) => bugs.push(error), openAccess)) as [
    GrpcHost,
    GrpcHost,
  ]
  const [address] = await b.bind([{ host: '127.0.0.1', port: 0, optional: false }])
  const accepted: Recorder[] = []
  const channels: Channel[] = []
  if (listening) {
    const listener = await b.network.listen(address!, (link, channel) => {
      accepted.push(new Recorder(link))
      channels.push(channel)
    })
    expect(listener.address).toBe(address)
  }
  return {
    address: address!,
    a,
    accepted,
    channels,
    bugs,
    connect: async (channel = 'requests') => new Recorder(await a.network.connect(address!, channel, 5_000)),
    [Symbol.asyncDispose]: async () => {
      await Promise.all([a.stop(100), b.stop(100)])
    },
  }
}

describe('links between nodes', () => {
  it('carry messages both ways, in order, empty ones and the largest included', async () => {
    await using pair = await startPair()
    const near = await pair.connect('bulk')
    const far = pair.accepted[0]!
    expect(pair.channels).toEqual(['bulk'])
    const large = new Uint8Array(limits.messageBytesMax).fill(9)
    near.link.send(new Uint8Array(0))
    near.link.send(new Uint8Array([1]))
    near.link.send(large)
    far.link.send(new Uint8Array([2]))
    await eventually('all has arrived', () => far.messages.length === 3 && near.messages.length === 1)
    expect(far.messages.map(({ length }) => length)).toEqual([0, 1, limits.messageBytesMax])
    expect(Buffer.from(far.messages[2]!).equals(large)).toBe(true)
    expect([...near.messages[0]!]).toEqual([2])
    const sent = { messagesSent: 3, bytesSent: 1 + limits.messageBytesMax }
    expect(pair.a.traffic.bulk).toEqual({ ...sent, links: 1, messagesReceived: 1, bytesReceived: 1 })
    near.link.close('done')
    await eventually('the link is gone', () => pair.a.traffic.bulk.links === 0)
  })

  it('each have a connection of their own', async () => {
    await using pair = await startPair()
    await Promise.all([pair.connect('requests'), pair.connect('gossip'), pair.connect('requests')])
    expect(new Set(pair.accepted.map(({ link }) => link.remote)).size).toBe(3)
  })

  it.each(['the caller', 'the called'])('closed by %s close on both sides, once', async (who) => {
    await using pair = await startPair()
    const near = await pair.connect()
    const far = pair.accepted[0]!
    const closer = who === 'the caller' ? near : far
    closer.link.close('enough')
    closer.link.close('enough again')
    expect(closer.link.send(new Uint8Array(1))).toBe(false)
    await eventually('both are closed', () => near.closes.length > 0 && far.closes.length > 0)
    expect(closer.closes).toEqual(['enough'])
    await new Promise((resolve) => setImmediate(resolve))
    expect([near.closes.length, far.closes.length]).toEqual([1, 1])
  })

  it('close on both sides when a host stops', async () => {
    await using pair = await startPair()
    const near = await pair.connect()
    await pair.a.stop(100)
    await eventually('both are closed', () => near.closes.length === 1 && pair.accepted[0]!.closes.length === 1)
  })

  it('hold a fast sender back, and let it go on', async () => {
    await using pair = await startPair()
    const near = await pair.connect()
    const far = pair.accepted[0]!
    const message = new Uint8Array(65_536)
    let sent = 0
    while (near.link.send(message)) sent++
    expect(sent).toBe(limits.linkSendMarkBytes / message.length - 1)
    expect(near.drains).toBe(0)
    await eventually('there is room again', () => near.drains === 1)
    await eventually('nothing was lost', () => far.messages.length === sent + 1)
    expect(near.link.send(message)).toBe(true)
  })

  it('a bug in the acceptor is reported, and not turned into a reply', async () => {
    await using pair = await startPair(false)
    const host = new GrpcHost(recordingLog([]), (error) => pair.bugs.push(error), openAccess)
    const bug = new Error('accept')
    const [address] = await host.bind([{ host: '127.0.0.1', port: 0, optional: false }])
    await host.network.listen(address!, () => {
      throw bug
    })
    await pair.a.network.connect(address!, 'requests', 2_000)
    expect(pair.bugs).toEqual([bug])
    await host.stop(100)
  })
})

describe('connecting', () => {
  it('to a node that does not listen for nodes yet is refused', async () => {
    await using pair = await startPair(false)
    await expect(pair.a.network.connect(pair.address, 'requests', 2_000)).rejects.toThrow('no connections from other')
  })

  it('to a port where nobody listens is refused before the timeout', async () => {
    await using pair = await startPair()
    const startMs = performance.now()
    await expect(pair.a.network.connect('127.0.0.1:1', 'requests', 5_000)).rejects.toThrow(
      'connect 127.0.0.1:1: connect ECONNREFUSED 127.0.0.1:1',
    )
    expect(performance.now() - startMs).toBeLessThan(2_500)
  })

  it('to something that accepts and never speaks ends with the timeout, and lets the connection go', async () => {
    const sockets: Socket[] = []
    const mute = createServer((socket) => {
      sockets.push(socket.on('error', () => undefined).resume())
    })
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
    await using pair = await startPair()
    const { port } = mute.address() as AddressInfo
    const startMs = performance.now()
    await expect(pair.a.network.connect(`127.0.0.1:${port}`, 'requests', 200)).rejects.toThrow('no answer in 200 ms')
    expect(performance.now() - startMs).toBeLessThan(2_000)
    expect(sockets).toHaveLength(1)
    await eventually('the socket is closed', () => sockets[0]!.closed)
    mute.close()
  })

  it('with an unknown channel is refused', async () => {
    await using pair = await startPair()
    const client = new Client(pair.address, credentials.createInsecure())
    const same = (bytes: Buffer): Buffer => bytes
    const metadata = new Metadata()
    metadata.set('kv-channel', 'voice')
    const stream = client.makeBidiStreamRequest(exchangePath, same, same, metadata)
    const error = await new Promise<ServiceError>((resolve) => stream.on('error', resolve))
    expect([error.code, pair.accepted.length]).toEqual([status.INVALID_ARGUMENT, 0])
    client.close()
  })
})

describe('binding', () => {
  const loopback = { host: '127.0.0.1', port: 0, optional: false }

  it('to port 0 gives all addresses the same port', async () => {
    const host = new GrpcHost(recordingLog([]), () => undefined, openAccess)
    const bound = await host.bind([loopback, { host: '127.0.0.2', port: 0, optional: false }])
    expect(new Set(bound.map((address) => address.split(':')[1])).size).toBe(1)
    await host.stop(100)
  })

  it('to a port in use fails as usage, naming the address', async () => {
    const [first, second] = [0, 1].map(() => new GrpcHost(recordingLog([]), () => undefined, openAccess)) as [
      GrpcHost,
      GrpcHost,
    ]
    const [address] = await first.bind([loopback])
    const port = Number(address!.split(':')[1])
    const error: unknown = await second.bind([{ ...loopback, port }]).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(FatalError)
    expect(error).toMatchObject({
      reason: 'usage',
      message: `cannot listen on ${address}: another process listens there already`,
    })
    await Promise.all([first.stop(100), second.stop(100)])
  })

  it('goes on without an optional address that the machine lacks, and fails without a needed one', async () => {
    const lines: LogLine[] = []
    const host = new GrpcHost(recordingLog(lines), () => undefined, openAccess)
    const missing = { host: '192.0.2.1', port: 0 }
    const bound = await host.bind([loopback, { ...missing, optional: true }])
    expect(bound).toHaveLength(1)
    expect(lines).toHaveLength(1)
    await expect(host.bind([{ ...missing, optional: false }])).rejects.toThrow('this machine has no such address')
    await host.stop(100)
  })
})

import { once } from 'node:events'
import { type ClientHttp2Session, connect, constants, createServer, type ServerHttp2Stream } from 'node:http2'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'
import { frameHeader } from '@quorumkv/proto/framing'
import { describe, expect, it, vi } from 'vitest'
import { eventually } from '../calls/services.test-support.js'
import { ExchangeClient } from './exchange-client.js'

interface OddServer extends AsyncDisposable {
  readonly address: string
}

/** Something that speaks HTTP/2, and answers as the test wants. */
async function startOdd(answer: (stream: ServerHttp2Stream) => void): Promise<OddServer> {
  const server = createServer()
  const sessions = new Set<{ destroy(): void }>()
  server.on('session', (session) => sessions.add(session))
  server.on('stream', (stream) => {
    stream.on('error', () => undefined)
    answer(stream)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      for (const session of sessions) session.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** What all sessions of clients of HTTP/2 inherit from. */
async function sessionPrototype(address: string): Promise<ClientHttp2Session> {
  const session = connect(`http://${address}`)
  await once(session, 'connect')
  const prototype = Object.getPrototypeOf(session) as ClientHttp2Session
  session.destroy()
  await once(session, 'close')
  return prototype
}

const accepted = { ':status': 200, 'content-type': 'application/grpc' }

function frame(text: string): Buffer {
  return Buffer.concat([frameHeader(text.length), Buffer.from(text)])
}

/** What arrives, and why it ended. */
async function listenTo(address: string, onMessage: (client: ExchangeClient) => void = () => undefined) {
  const client = await ExchangeClient.open(address, 'requests', 5_000)
  const messages: string[] = []
  const closes: string[] = []
  client.start({
    message: (bytes) => {
      messages.push(bytes.toString())
      onMessage(client)
    },
    close: (reason) => closes.push(reason),
  })
  return { client, messages, closes }
}

describe('the caller of an exchange', () => {
  it('after a close hands out nothing, not even what came in the same bytes', async () => {
    await using server = await startOdd((stream) => {
      stream.respond(accepted)
      stream.write(Buffer.concat([frame('one'), frame('two'), frame('three')]))
    })
    const { messages, closes } = await listenTo(server.address, (client) => client.close('one was enough'))
    await eventually('it is closed', () => closes.length > 0)
    expect([messages, closes]).toEqual([['one'], ['one was enough']])
  })

  it.each([
    ['a message', (stream: ServerHttp2Stream) => stream.write(frame('one'))],
    ['what is no message', (stream: ServerHttp2Stream) => stream.write(Buffer.from([1, 0, 0, 0, 0]))],
    ['the end', (stream: ServerHttp2Stream) => stream.end()],
    ['a reset', (stream: ServerHttp2Stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR)],
  ])('lets HTTP/2 finish with %s before it destroys the session', async (_name, send) => {
    await using server = await startOdd((stream) => {
      stream.respond(accepted)
      // On its own, after the stream has been accepted.
      stream.once('data', () => send(stream))
    })
    const destroyed = vi.spyOn(await sessionPrototype(server.address), 'destroy')
    try {
      let destroyedInside: number | undefined
      const client = await ExchangeClient.open(server.address, 'requests', 5_000)
      client.start({
        message: () => client.close('one was enough'),
        close: () => {
          destroyedInside = destroyed.mock.calls.length
        },
      })
      client.send(Buffer.from('go'), () => undefined)
      await eventually('it is closed', () => destroyedInside !== undefined)
      expect(destroyedInside).toBe(0)
      await eventually('the session is destroyed', () => destroyed.mock.calls.length > 0)
    } finally {
      destroyed.mockRestore()
    }
  })

  it.each([
    ['a compressed message', Buffer.from([1, 0, 0, 0, 0]), 'compressed'],
    ['a message beyond the limit', frameHeader(0x7fffffff), 'at most 4194304'],
  ])('%s ends the stream, not the process', async (_name, bytes, reason) => {
    await using server = await startOdd((stream) => {
      stream.respond(accepted)
      stream.write(bytes)
    })
    const { closes } = await listenTo(server.address)
    await eventually('it is closed', () => closes.length > 0)
    expect(closes).toEqual([expect.stringContaining(reason)])
  })

  it('says with which status the other side ended', async () => {
    await using server = await startOdd((stream) => {
      stream.respond(accepted, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '14', 'grpc-message': 'gone%20away' }))
      stream.end(frame('last'))
    })
    const { messages, closes } = await listenTo(server.address)
    await eventually('it is closed', () => closes.length > 0)
    expect([messages, closes]).toEqual([['last'], ['gRPC status 14: gone away']])
  })

  it.each([
    ['is no gRPC', { ':status': 404 }, 'HTTP status 404'],
    ['refuses', { ...accepted, 'grpc-status': '14', 'grpc-message': 'not now' }, 'gRPC status 14: not now'],
    ['encodes badly', { ...accepted, 'grpc-status': '2', 'grpc-message': '%zz' }, 'gRPC status 2: %zz'],
  ])('cannot open a stream to what %s', async (_name, headers, reason) => {
    await using server = await startOdd((stream) => stream.respond(headers, { endStream: true }))
    const opening = ExchangeClient.open(server.address, 'requests', 5_000)
    await expect(opening).rejects.toMatchObject({ code: 'unavailable', message: expect.stringContaining(reason) })
  })

  it('gives up an attempt whose connection comes about at that moment, and nothing is left of it', async () => {
    const sockets: Socket[] = []
    const server = createTcpServer((socket) => sockets.push(socket.on('error', () => undefined)))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const thrown: unknown[] = []
    const note = (error: unknown): number => thrown.push(error)
    process.on('uncaughtException', note)
    try {
      const opening = ExchangeClient.open(`127.0.0.1:${port}`, 'requests', 1)
      // The kernel connects; of the two, this process sees the end of its patience first.
      const untilMs = performance.now() + 20
      while (performance.now() < untilMs);
      await expect(opening).rejects.toMatchObject({ code: 'unavailable' })
      await eventually(
        'the other side has seen all of it',
        () => sockets.length === 1 && sockets[0]!.resume().destroyed,
      )
    } finally {
      process.off('uncaughtException', note)
      for (const socket of sockets) socket.destroy()
      server.close()
    }
    expect(thrown).toEqual([])
  })

  it('is told of a loss between opening and starting', async () => {
    const streams: ServerHttp2Stream[] = []
    await using server = await startOdd((stream) => {
      streams.push(stream)
      stream.respond(accepted)
    })
    const client = await ExchangeClient.open(server.address, 'requests', 5_000)
    streams[0]!.session!.destroy()
    // On another connection, opened later: by then the loss has been seen.
    const other = await ExchangeClient.open(server.address, 'requests', 5_000)
    const closes: string[] = []
    client.start({ message: () => undefined, close: (reason) => closes.push(reason) })
    await eventually('it is closed', () => closes.length === 1)
    other.close('done')
  })
})

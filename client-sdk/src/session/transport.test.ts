import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2'
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net'
import { frameOf } from '@quorumkv/proto/framing'
import { ClusterService } from '@quorumkv/proto/kv/v1/cluster'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type CallError, grpcStatus } from '../call.js'
import { limits } from '../limits.js'
import { rejection, until } from './sockets.test-support.js'
import { Transport } from './transport.js'

const accepted = { ':status': 200, 'content-type': 'application/grpc+proto' }
let server: Http2Server
let socket: Socket
let transport: Transport
let lost: string | undefined
/** What the server does with a call. */
let serve: (stream: ServerHttp2Stream, headers: Record<string, unknown>) => void

beforeEach(async () => {
  lost = undefined
  server = createServer({ settings: { initialWindowSize: 65_535 } })
  server.on('stream', (stream, headers) => {
    stream.on('error', () => undefined)
    serve(stream, headers)
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  await new Promise((resolve) => socket.once('connect', resolve))
  await new Promise<void>((resolve) => {
    transport = new Transport('127.0.0.1:1', socket, undefined, {
      ready: resolve,
      lost: (reason) => {
        expect(lost).toBeUndefined()
        lost = reason
      },
    })
  })
})

afterEach(async () => {
  transport.destroy()
  server.close()
  await until(() => socket.destroyed, 'the socket is closed')
})

const call = (timeoutMs = 2000): Promise<unknown> => transport.unary(ClusterService.drain, {}, timeoutMs)

/** Answers with these trailers, after a message where there is one. */
const answer = (trailers: Record<string, string>, message?: Buffer) => (stream: ServerHttp2Stream) => {
  stream.respond(accepted, { waitForTrailers: true })
  stream.once('wantTrailers', () => stream.sendTrailers(trailers))
  if (message !== undefined) stream.write(frameOf(message))
  stream.end()
}

test.each([
  ['in trailers', 'unavailable', answer({ 'grpc-status': '14', 'grpc-message': 'too%20busy' })],
  [
    'in trailers only',
    'overloaded',
    (stream) => {
      stream.respond({ ...accepted, 'grpc-status': '8', 'grpc-message': 'too%20busy' }, { endStream: true })
    },
  ],
  ['that cannot be decoded', 'unavailable', answer({ 'grpc-status': '14', 'grpc-message': 'too busy%' })],
] satisfies [string, string, typeof serve][])('a status %s is what the call fails with', async (_, code, does) => {
  serve = does
  expect(await rejection(call())).toMatchObject({ code, message: expect.stringContaining('too busy') })
})

test.each([
  [503, 'unavailable'],
  [401, 'unauthenticated'],
  [403, 'permission-denied'],
  [418, 'internal'],
])('what is answered with HTTP status %i and no status of gRPC is %s', async (status, code) => {
  serve = (stream) => stream.respond({ ':status': status }, { endStream: true })
  expect(await rejection(call())).toMatchObject({ code, message: expect.stringContaining(`HTTP status ${status}`) })
})

test.each([
  [
    'ends without a status',
    (stream) => {
      stream.respond(accepted)
      stream.end()
    },
    'unavailable',
  ],
  ['is reset', (stream) => stream.close(2), 'unavailable'],
  ['is told to calm down', (stream) => stream.close(11), 'overloaded'],
  ['ends in good order without a message', answer({ 'grpc-status': '0' }), 'internal'],
  [
    'sends what is no frame',
    (stream) => {
      stream.respond(accepted)
      stream.write(Buffer.from([1, 0, 0, 0, 1, 7]))
    },
    'internal',
  ],
  ['sends what is no answer', answer({ 'grpc-status': '0' }, Buffer.from([0x0f, 0xff])), 'internal'],
] satisfies [string, typeof serve, string][])('a call that %s fails', async (_, does, code) => {
  serve = does
  expect((await rejection(call())).code).toBe(code)
})

test('a call that is not answered times out, tells the node how long it may take, and is called off there', async () => {
  let timeout: unknown
  let closed = false
  serve = (stream, headers) => {
    timeout = headers['grpc-timeout']
    stream.once('close', () => {
      closed = true
    })
  }
  expect((await rejection(call(50))).code).toBe('timeout')
  expect(timeout).toBe('50m')
  await until(() => closed, 'the node has seen the end of the call')
})

test('a connection that breaks ends its calls and says so once', async () => {
  serve = (stream) => stream.session!.destroy()
  expect((await rejection(call())).code).toBe('unavailable')
  await until(() => lost !== undefined, 'the loss is told')
  expect((await rejection(call())).code).toBe('unavailable')
})

test('a node that takes its leave lets calls that run come to their end, and gets no more', async () => {
  let finish: (() => void) | undefined
  serve = (stream) => {
    finish = () => answer({ 'grpc-status': '0' }, Buffer.alloc(0))(stream)
    stream.session!.goaway(0, stream.id)
  }
  const running = call()
  await until(() => finish !== undefined, 'the call has arrived')
  await vi.waitFor(async () => expect((await rejection(call(20))).code).toBe('unavailable'))
  expect(lost).toBeUndefined()
  finish!()
  await running
})

test('many streams that the node resets while they end do not keep this process from going on', async () => {
  serve = (stream) => {
    stream.respond(accepted)
    stream.write(frameOf(Buffer.alloc(20_000)))
    setTimeout(() => stream.session?.destroy(undefined, 8), 20)
  }
  const ended: (CallError | undefined)[] = []
  for (let i = 0; i < 5; i++) {
    const open = transport.openSession({
      message: () => undefined,
      drain: () => undefined,
      end: (error) => {
        ended.push(error)
        transport.destroy()
      },
    })
    for (let n = 0; n < 20; n++) open.write(frameOf(Buffer.alloc(100_000)))
  }
  await until(() => ended.length === 5, 'all streams are known to be over')
  for (const error of ended) expect(error?.code).toBe(grpcStatus.unavailable)
})

test.each([
  ['answers pings is kept', true],
  ['does not answer pings is given up', false],
])('a node that %s', async (_, answers) => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  // Its settings, and nothing more.
  const mute = createTcpServer((near) =>
    near
      .on('error', () => undefined)
      .resume()
      .write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])),
  )
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
  const { port } = (answers ? server : mute).address() as AddressInfo
  let gone: string | undefined
  const asked = await new Promise<Transport>((resolve) => {
    const far = connect(port, '127.0.0.1', () => {
      const made = new Transport(`127.0.0.1:${port}`, far, undefined, {
        ready: () => resolve(made),
        lost: (reason) => (gone = reason),
      })
    })
  })
  for (let i = 0; i < 3; i++) {
    vi.advanceTimersByTime(limits.keepaliveMs)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  vi.useRealTimers()
  expect(gone).toBe(answers ? undefined : 'the other side does not answer pings')
  asked.destroy()
  mute.close()
})

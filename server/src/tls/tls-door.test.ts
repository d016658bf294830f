import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { connect as connectTcp } from 'node:net'
import { connect, createServer, type Server, type TLSSocket } from 'node:tls'
import type { Timer } from '@quorumkv/internal/env'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { eventually, type LogLine, recordingLog } from '../calls/services.test-support.js'
import { CertificateFolder, hourMs } from './certificates.test-support.js'
import type { TlsFiles } from './material.js'
import { type DoorKind, TlsDoor } from './tls-door.js'

let folder: CertificateFolder
const ends: (() => unknown)[] = []

beforeAll(async () => {
  folder = await CertificateFolder.create()
})

afterEach(() => {
  for (const end of ends.splice(0).reverse()) end()
})

afterAll(() => folder[Symbol.dispose]())

/** A server behind a door, whose time moves when it is told to. */
class Scene {
  readonly lines: LogLine[] = []
  readonly door: TlsDoor
  readonly accepted: TLSSocket[] = []
  /** By which those who have connected could resume. */
  readonly sessions: Buffer[] = []
  /** Which of them have. */
  readonly resumed: boolean[] = []
  readonly #server: Server
  #nowMs = Date.now()
  #fire: (() => void) | undefined

  private constructor(server: Server, kind: DoorKind) {
    const clock = {
      wallMs: () => this.#nowMs,
      monotonicMs: () => this.#nowMs,
      setTimer: (_delayMs: number, fire: () => void): Timer => {
        this.#fire = fire
        return { cancel: () => undefined }
      },
      defer: () => undefined,
    }
    this.#server = server
    this.door = new TlsDoor({ clock, log: recordingLog(this.lines) })
    this.door.watch(server, kind)
    server.on('secureConnection', (socket) => {
      this.accepted.push(socket)
      socket.on('error', () => undefined)
    })
    ends.push(() => {
      this.door.close()
      for (const socket of this.accepted) socket.destroy()
      server.close()
    })
  }

  static async start(kind: DoorKind, { requireClientCert = false } = {}): Promise<Scene> {
    const { cert, key } = await folder.node('n1')
    const server = createServer({
      ...{ cert: readFileSync(cert), key: readFileSync(key), ca: readFileSync(folder.ca) },
      ...{ requestCert: true, rejectUnauthorized: requireClientCert, handshakeTimeout: 300 },
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return new Scene(server, kind)
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  pass(ms: number): void {
    this.#nowMs += ms
    this.#fire?.()
  }

  /** A connection with these, once it is there. */
  async connect(files: TlsFiles | undefined, more: { session?: Buffer } = {}): Promise<TLSSocket> {
    const own = files === undefined ? {} : { cert: readFileSync(files.cert), key: readFileSync(files.key) }
    const socket = connect({ host: '127.0.0.1', port: this.port, ca: readFileSync(folder.ca), ...own, ...more })
    ends.push(() => socket.destroy())
    socket.on('error', () => undefined)
    socket.on('session', (session: Buffer) => this.sessions.push(session))
    socket.resume()
    const count = this.accepted.length
    await new Promise<void>((resolve) => socket.once('secureConnect', resolve))
    this.resumed.push(socket.isSessionReused())
    await eventually('it is accepted', () => this.accepted.length > count)
    return socket
  }

  /** Says what is no TLS. */
  async babble(text: string): Promise<void> {
    const socket = connectTcp(this.port, '127.0.0.1')
    socket.on('error', () => undefined)
    socket.resume()
    if (text === '') socket.end()
    else socket.write(text)
    await new Promise<void>((resolve) => socket.once('close', resolve))
  }
}

describe('connections of those who have shown a certificate', () => {
  it('end when it expires, and those without one stay', async () => {
    const scene = await Scene.start('grpc')
    const toMs = Date.now() + 60_000
    const [short, long] = [await folder.client('short', { toMs }), await folder.client('long', { toMs: toMs + hourMs })]
    const sockets = [await scene.connect(short), await scene.connect(long), await scene.connect(undefined)]
    scene.pass(50_000)
    expect(scene.accepted.map(({ destroyed }) => destroyed)).toEqual([false, false, false])
    scene.pass(15_000)
    await eventually('it is told', () => sockets[0]!.destroyed)
    expect(scene.accepted.map(({ destroyed }) => destroyed)).toEqual([true, false, false])
    expect(scene.lines.map(({ message }) => message)).toEqual(['a connection is ended: its certificate has expired'])
  })

  it('end at once where it has expired since the session was made that they resume', async () => {
    const scene = await Scene.start('http')
    const files = await folder.client('resumed', { toMs: Date.now() + 60_000 })
    await scene.connect(files)
    await eventually('it gets a ticket', () => scene.sessions.length > 0)
    scene.pass(120_000)
    await scene.connect(files, { session: scene.sessions[0]! })
    expect(scene.resumed).toEqual([false, true])
    expect(scene.accepted.map(({ destroyed }) => destroyed)).toEqual([true, true])
  })

  it('stay where they may be links of another node', async () => {
    for (const [kind, stays] of [
      ['grpc', true],
      ['http', false],
    ] as const) {
      const scene = await Scene.start(kind)
      await scene.connect(await folder.node('n2', { toMs: Date.now() + 60_000 }))
      scene.pass(120_000)
      expect([kind, scene.accepted[0]!.destroyed]).toEqual([kind, !stays])
    }
  })
})

describe('handshakes that fail', () => {
  it('are counted, and told of once in ten seconds for each address', async () => {
    const scene = await Scene.start('http')
    for (let i = 0; i < 3; i++) await scene.babble('GET / HTTP/1.1\r\n\r\n')
    expect([scene.door.failed('http'), scene.door.failed('grpc')]).toEqual([3, 0])
    expect(scene.lines).toHaveLength(1)
    expect(scene.lines[0]).toMatchObject({
      level: 'warn',
      message: 'a TLS handshake failed',
      facts: { protocol: 'http', from: '127.0.0.1', reason: 'ERR_SSL_HTTP_REQUEST', handshakes: 1 },
    })
    scene.pass(10_000)
    await scene.babble('nonsense')
    expect(scene.lines).toHaveLength(2)
    expect(scene.lines[1]!.facts).toMatchObject({ handshakes: 3 })
  })

  it('are those too whose certificate nobody vouches for, where all must have one', async () => {
    using others = await CertificateFolder.create('another')
    const scene = await Scene.start('grpc', { requireClientCert: true })
    const { cert, key } = await others.client('app')
    const own = { cert: readFileSync(cert), key: readFileSync(key) }
    const socket = connect({ host: '127.0.0.1', port: scene.port, ca: readFileSync(folder.ca), ...own })
    await new Promise<void>((resolve) => socket.on('error', () => undefined).once('close', () => resolve()))
    await eventually('it is counted', () => scene.door.failed('grpc') === 1)
    expect(scene.lines[0]!.facts).toMatchObject({ reason: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' })
  })

  it('are not those of somebody who only looks whether the port is open', async () => {
    const scene = await Scene.start('grpc')
    await scene.babble('')
    await scene.babble('nonsense')
    expect(scene.door.failed('grpc')).toBe(1)
  })
})

import { chmodSync, writeFileSync } from 'node:fs'
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2, constants } from 'node:http2'
import { type AddressInfo, connect as connectTcp, createServer } from 'node:net'
import { connect as connectTls, createServer as createTlsServer } from 'node:tls'
import { KvError, limits } from '@quorumkv/internal/base'
import type { Link, LinkHandlers, PeerProof } from '@quorumkv/internal/env'
import { NodeClock } from '@quorumkv/internal/env-node'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { eventually, type LogLine, openAccess, recordingLog } from '../calls/services.test-support.js'
import { GrpcHost, type HostSecurity } from '../grpc/grpc-host.js'
import { exchangePath } from '../links/exchange.js'
import { Authority } from './authority.js'
import { Certificates } from './certificates.js'
import { around, CertificateFolder, hourMs, testCluster } from './certificates.test-support.js'
import { ClusterSecret, isToken } from './cluster-secret.js'
import type { TlsFiles } from './material.js'
import { nodeUri } from './names.js'
import { TlsDoor } from './tls-door.js'

let folder: CertificateFolder
let other: CertificateFolder
const ends: (() => Promise<void> | void)[] = []
const otherCluster = 'f'.repeat(32)

beforeAll(async () => {
  folder = await CertificateFolder.create()
  other = await CertificateFolder.create('another')
})

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

afterAll(() => {
  folder[Symbol.dispose]()
  other[Symbol.dispose]()
})

const ignore: LinkHandlers = { message: () => undefined, drain: () => undefined, close: () => undefined }

interface Accepted {
  readonly proved: PeerProof | undefined
  readonly messages: string[]
}

class Peer {
  readonly host: GrpcHost
  readonly accepted: Accepted[] = []
  readonly certificates: Certificates | undefined
  readonly lines: LogLine[]
  address = ''

  private constructor(host: GrpcHost, certificates: Certificates | undefined, lines: LogLine[]) {
    this.host = host
    this.certificates = certificates
    this.lines = lines
  }

  /** `files`: undefined for one that speaks no TLS. */
  static async start(
    nodeId: string,
    files: TlsFiles | undefined,
    { secret, requireClientCert = false }: { secret?: string; requireClientCert?: boolean } = {},
  ): Promise<Peer> {
    const lines: LogLine[] = []
    const log = recordingLog(lines)
    const certificates =
      files === undefined ? undefined : await Certificates.open({ files, clock: new NodeClock(), log, pollMs: 20 })
    const security: HostSecurity = {
      tls:
        certificates === undefined
          ? undefined
          : { certificates, requireClientCert, door: new TlsDoor({ clock: new NodeClock(), log }) },
      trust: {
        certificates,
        secret: secret === undefined ? undefined : new ClusterSecret(Buffer.from(secret)),
        self: () => ({ nodeId, clusterId: '' }),
      },
    }
    const host = new GrpcHost(log, (bug) => expect.unreachable(String(bug)), openAccess, security)
    const peer = new Peer(host, certificates, lines)
    const [address] = await host.bind([{ host: '127.0.0.1', port: 0, optional: false }])
    peer.address = address!
    await host.network.listen(address!, (link) => peer.#accept(link))
    ends.push(async () => {
      certificates?.close()
      await host.stop(100)
    })
    return peer
  }

  call(to: Peer | string, timeoutMs = 5_000): Promise<Link> {
    return this.host.network.connect(typeof to === 'string' ? to : to.address, 'requests', timeoutMs)
  }

  warnings(): string[] {
    const warned = this.lines.filter(({ level }) => level === 'warn').map(({ message }) => message)
    return warned.filter((message) => message !== 'a certificate expires soon')
  }

  #accept(link: Link): void {
    const accepted: Accepted = { proved: link.proved, messages: [] }
    this.accepted.push(accepted)
    link.start({ ...ignore, message: (bytes) => accepted.messages.push(Buffer.from(bytes).toString()) })
  }
}

/** Fails, and the error is about trust and says this. */
async function distrusted(link: Promise<Link>, says: RegExp): Promise<void> {
  const error = await link.then(
    () => expect.unreachable('a link was opened'),
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(KvError)
  expect(error).toMatchObject({ code: 'unauthenticated', message: expect.stringMatching(says) })
}

describe('links between nodes with certificates', () => {
  it('carry messages, and each end knows who the other is', async () => {
    const [a, b] = [await Peer.start('a', await folder.node('a')), await Peer.start('b', await folder.node('b'))]
    const link = await a.call(b)
    link.start(ignore)
    expect(link.proved).toEqual({ nodeId: 'b', clusterId: testCluster })
    link.send(Buffer.from('hello'))
    await eventually('it arrives', () => b.accepted[0]?.messages.length === 1)
    expect(b.accepted).toEqual([{ proved: { nodeId: 'a', clusterId: testCluster }, messages: ['hello'] }])
  })

  it('do not care for the names under which nodes are reached', async () => {
    const a = await Peer.start('a', await folder.node('a'))
    const b = await Peer.start('b', await folder.node('b', { hosts: ['elsewhere.example'] }))
    expect((await a.call(b)).proved?.nodeId).toBe('b')
  })

  const good = (id: string): Promise<TlsFiles> => folder.node(id)
  it.each<[string, () => Promise<TlsFiles | undefined>, () => Promise<TlsFiles | undefined>, RegExp]>([
    [
      'another authority',
      () => good('a'),
      async () => ({ ...other.write('b', await other.issue('b', [nodeUri(testCluster, 'b')])) }),
      /no authority that is trusted here has signed its certificate/,
    ],
    [
      'another cluster',
      () => good('a'),
      () => folder.node('b', {}, otherCluster),
      /its certificate is that of node b of cluster f+, and this node's cluster is 0123/,
    ],
    ['no TLS there', () => good('a'), async () => undefined, /it does not speak TLS/],
  ])('do not come about with %s', async (_what, near, far, says) => {
    const [a, b] = [await Peer.start('a', await near()), await Peer.start('b', await far())]
    await distrusted(a.call(b), says)
    await distrusted(a.call(b), says)
    expect(b.accepted).toEqual([])
    expect(a.warnings()).toEqual(['no link to another node: one of the two is not trusted'])
  })

  it('do not come about with no TLS here: a port that wants it is not spoken to', async () => {
    const [a, b] = [await Peer.start('a', undefined), await Peer.start('b', await good('b'))]
    await expect(a.call(b)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('it may want TLS'),
    })
    expect(b.accepted).toEqual([])
  })

  it('do not come about with a certificate that expires between two calls', async () => {
    const a = await Peer.start('a', await good('a'))
    // Certificates count in seconds.
    const toMs = Math.ceil(Date.now() / 1_000) * 1_000 + 2_000
    const b = await Peer.start('b', await folder.node('b', { fromMs: Date.now() - hourMs, toMs }))
    await a.call(b)
    await new Promise((resolve) => setTimeout(resolve, toMs + 1_100 - Date.now()))
    await distrusted(a.call(b), /its certificate, or that of an authority above it, has expired/)
    await distrusted(b.call(a), /a certificate that the --tls-ca of this one vouches for \[CERT_HAS_EXPIRED\]/)
    const told = (): LogLine[] => b.lines.filter(({ level }) => level === 'error')
    await eventually('its own log tells of it, though it has warned just before', () => told().length > 0)
    expect(told().map(({ message }) => message)).toEqual(['a certificate has expired: new connections are refused'])
  })

  it('are not for clients, nor for whoever has no certificate', async () => {
    const b = await Peer.start('b', await good('b'))
    const own = await Certificates.open({ files: await good('a'), clock: new NodeClock(), log: recordingLog([]) })
    ends.push(() => own.close())
    const dial = async (files: { cert?: string; key?: string }): Promise<Link> => {
      const a = await Peer.start('a', await good('a'))
      const { context } = a.certificates!.material
      const { cert: _cert, key: _key, ...rest } = context
      // Its own certificate is checked when it is read, so what it shows is replaced behind its back.
      Object.assign(a.certificates!.material, { context: { ...rest, ...files } })
      return await a.call(b)
    }
    const client = await folder.issue('app', [`quorumkv://${testCluster}/client/app`])
    await distrusted(
      dial(client),
      /gRPC status 7: links are for nodes, and its certificate names client app of cluster/,
    )
    const nobody = await folder.issue('nobody', [])
    await distrusted(dial(nobody), /gRPC status 7: links are for nodes, and its certificate names nobody/)
    const stranger = await other.issue('a', [nodeUri(testCluster, 'a')])
    await distrusted(dial(stranger), /gRPC status 16: links are for nodes with a certificate that/)
    await distrusted(dial({}), /gRPC status 16: links are for nodes with a certificate that/)
    const elsewhere = await folder.issue('a', [nodeUri(otherCluster, 'a')])
    await distrusted(dial(elsewhere), /gRPC status 7: its certificate is that of node a of cluster f+/)
    expect(b.accepted).toEqual([])
    expect(b.warnings()).toEqual(['a link from another node was refused'])
  })

  it('that cannot be tried for want of a certificate say so where nobody gets in without', async () => {
    const a = await Peer.start('a', await good('a'))
    const b = await Peer.start('b', await good('b'), { requireClientCert: true })
    const { cert: _cert, key: _key, ...rest } = a.certificates!.material.context
    Object.assign(a.certificates!.material, { context: rest })
    await distrusted(a.call(b), /it wants a certificate of this side|closed the connection after the TLS handshake/)
    const stranger = await other.issue('a', [nodeUri(testCluster, 'a')])
    Object.assign(a.certificates!.material, { context: { ...rest, ...stranger } })
    await distrusted(a.call(b), /closed the connection after the TLS handshake/)
  })
})

describe('a certificate that is replaced', () => {
  it('is used by new links, and open ones stay', async () => {
    const [a, b] = [await Peer.start('a', await folder.node('a')), await Peer.start('b', await folder.node('b'))]
    const before = await a.call(b)
    before.start(ignore)
    const [fact] = b.certificates!.facts
    await folder.node('b', { ...around(Date.now() + 60_000) })
    await eventually('it is found by itself', () => b.certificates!.counts.reloaded === 1)
    expect(b.certificates!.facts[0]!.toMs).toBeGreaterThan(fact!.toMs)
    before.send(Buffer.from('still'))
    await eventually('the old link carries it', () => b.accepted[0]!.messages.length === 1)
    expect((await a.call(b)).proved?.nodeId).toBe('b')
  })

  it('by one that is no good stays in use, which is said once and counted', async () => {
    const [a, b] = [await Peer.start('a', await folder.node('a')), await Peer.start('b', await folder.node('b'))]
    const { cert, key } = await folder.issue('b', [nodeUri(testCluster, 'c')])
    folder.write('b', { cert, key })
    expect([await b.certificates!.reload(), await b.certificates!.reload()]).toEqual([false, false])
    expect(b.certificates!.problem).toContain('the new certificate names c of cluster')
    expect(b.certificates!.counts.failed).toBeGreaterThanOrEqual(2)
    expect(b.lines.filter(({ message }) => message === 'a new certificate is not used')).toHaveLength(1)
    expect((await a.call(b)).proved?.nodeId).toBe('b')
    writeFileSync((await folder.node('b')).key, 'nonsense')
    expect(await b.certificates!.reload()).toBe(false)
    await folder.node('b')
    expect(await b.certificates!.reload()).toBe(true)
    expect(b.certificates!.problem).toBeUndefined()
  })

  it('by one that holds only in a moment, or that may not be read yet, is used as soon as that is over', async () => {
    const b = await Peer.start('b', await folder.node('b'))
    const certificates = b.certificates!
    // Dates in certificates have no fractions of a second.
    const fromMs = Math.ceil(Date.now() / 1_000 + 1) * 1_000
    const files = await folder.node('b', { fromMs, toMs: fromMs + hourMs })
    await eventually('it is found', () => certificates.counts.failed === 1)
    expect(certificates.problem).toContain('is not valid before')
    await eventually('it is used', () => certificates.counts.reloaded === 1)
    expect([certificates.problem, certificates.facts[0]!.fromMs]).toEqual([undefined, fromMs])
    expect(b.lines.filter(({ message }) => message === 'a new certificate is not used')).toHaveLength(1)
    // Who may read it says nothing about when it was written.
    chmodSync(files.key, 0o640)
    await eventually('it is read again', () => certificates.counts.reloaded === 2)
  })

  it('together with its authority, by way of both, without a moment in which nodes do not trust each other', async () => {
    const next = await Authority.create('the next', around(Date.now()))
    const files = { a: await folder.node('ra'), b: await folder.node('rb') }
    const ca = `${folder.path}/rotating.crt`
    writeFileSync(ca, folder.authority.cert)
    const [a, b] = [await Peer.start('ra', { ...files.a, ca }), await Peer.start('rb', { ...files.b, ca })]
    const link = async (): Promise<void> => {
      expect((await a.call(b)).proved?.nodeId).toBe('rb')
      expect((await b.call(a)).proved?.nodeId).toBe('ra')
    }
    const reload = async (peer: Peer): Promise<void> => expect(await peer.certificates!.reload()).toBe(true)
    await link()
    writeFileSync(ca, folder.authority.cert + next.cert)
    for (const peer of [a, b]) {
      await reload(peer)
      await link()
    }
    for (const [peer, id] of [
      [a, 'ra'],
      [b, 'rb'],
    ] as const) {
      folder.write(id, await next.issue({ subject: id, uris: [nodeUri(testCluster, id)], ...around(Date.now()) }))
      await reload(peer)
      await link()
    }
    writeFileSync(ca, next.cert)
    for (const peer of [a, b]) {
      await reload(peer)
      await link()
    }
    const late = await Peer.start('a', await folder.node('a'))
    await distrusted(late.call(b), /no authority that is trusted here/)
  })
})

describe('links between nodes with a secret', () => {
  const secret = 's'.repeat(32)

  it('come about where both know it, and each end knows who the other is', async () => {
    const [a, b] = [await Peer.start('a', undefined, { secret }), await Peer.start('b', undefined, { secret })]
    const link = await a.call(b)
    link.start(ignore)
    expect(link.proved).toEqual({ nodeId: 'b', clusterId: '' })
    link.send(Buffer.from('one'))
    link.send(Buffer.from('two'))
    await eventually('they arrive', () => b.accepted[0]?.messages.length === 2)
    expect(b.accepted).toEqual([{ proved: { nodeId: 'a', clusterId: '' }, messages: ['one', 'two'] }])
  })

  it.each([
    ['here is another', 't'.repeat(32), secret, /it knows another cluster secret/],
    ['is not known there', secret, undefined, /it has not proved that it knows the cluster secret/],
    ['is not known here', undefined, secret, /gRPC status 16: this node wants a proof of the cluster secret/],
  ])('do not come about where the secret %s', async (_what, near, far, says) => {
    const a = await Peer.start('a', undefined, near === undefined ? {} : { secret: near })
    const b = await Peer.start('b', undefined, far === undefined ? {} : { secret: far })
    await distrusted(a.call(b), says)
    // Who knows none hands a call over at once; nothing was said on it.
    expect(b.accepted.filter(({ proved, messages }) => proved !== undefined || messages.length > 0)).toEqual([])
  })

  it('name the same node as the certificates', async () => {
    const a = await Peer.start('a', await folder.node('a'), { secret })
    const b = await Peer.start('b', await folder.node('b'), { secret })
    expect((await a.call(b)).proved).toEqual({ nodeId: 'b', clusterId: testCluster })
    const liar = await Peer.start('a', await folder.node('c'), { secret })
    const link = await liar.call(b)
    const closed = new Promise<string>((resolve) => link.start({ ...ignore, close: resolve }))
    expect(await closed).toMatch(/gRPC status 7: its certificate is that of c, and it calls itself a/)
    await distrusted(a.call(liar), /its certificate is that of c, and it calls itself a/)
  })

  it('come about over TLS, and not by way of somebody between the two whose certificate is trusted', async () => {
    // Certificates that name no nodes, as of an authority that serves others too.
    const named = async (name: string): Promise<TlsFiles> => ({ ...folder.write(name, await folder.issue(name, [])) })
    const [a, b] = [
      await Peer.start('a', await named('plain-a'), { secret }),
      await Peer.start('b', await named('plain-b'), { secret }),
    ]
    expect((await a.call(b)).proved).toEqual({ nodeId: 'b', clusterId: '' })
    const { context } = (await Peer.start('c', await named('plain-c'))).certificates!.material
    const between = createTlsServer({ ...context, ALPNProtocols: ['h2'] }, (near) => {
      const [host, port] = b.address.split(':')
      const far = connectTls({
        host,
        port: Number(port),
        ...context,
        ALPNProtocols: ['h2'],
        checkServerIdentity: () => undefined,
      })
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        from.on('error', () => to.destroy())
        from.pipe(to)
      }
      ends.push(() => void [near, far].map((socket) => socket.destroy()))
    })
    await new Promise<void>((resolve) => between.listen(0, '127.0.0.1', resolve))
    ends.push(() => void between.close())
    const { port } = between.address() as AddressInfo
    await distrusted(
      a.call(`127.0.0.1:${port}`),
      /another cluster secret .*, or the TLS connection of one of the two ends/,
    )
    expect(b.accepted).toHaveLength(1)
  })

  it('come about while strangers who prove nothing take all places, and those leave no stream behind', async () => {
    const [a, b] = [await Peer.start('a', undefined, { secret }), await Peer.start('b', undefined, { secret })]
    const strangers = new Strangers(b.address)
    const count = limits.linksProvingMax + 1
    for (let i = 0; i < count; i++) strangers.open()
    await eventually('all are answered', () => strangers.answers.length === count)
    expect(strangers.answers.filter((text) => isToken(text))).toHaveLength(count)
    expect((await a.call(b)).proved?.nodeId).toBe('b')
    // Ended by the node: the strangers go on as if there were something to say.
    const ended = count + 1 - limits.linksProvingPerAddressMax
    await eventually('the oldest are closed', () => strangers.closed >= ended)
    expect(strangers.ends.every((text) => /a proof no longer: 64 others of its address/.test(text))).toBe(true)
    expect([strangers.closed, strangers.ends.length, strangers.resets]).toEqual([ended, ended, 0])
    expect(b.accepted).toHaveLength(1)
  })

  it('that are refused are closed by who refuses them, before anything was said and after', async () => {
    const b = await Peer.start('b', undefined, { secret })
    const strangers = new Strangers(b.address)
    strangers.open({ 'kv-channel': 'nonsense' })
    strangers.open({ 'kv-nonce': 'short' })
    strangers.open().write(Buffer.from([0, 0, 0, 0, 3, 1, 2, 3]))
    await eventually('all are closed', () => strangers.closed === 3)
    expect([strangers.answers.filter((text) => !isToken(text)).length, strangers.ends.length]).toEqual([2, 1])
    expect(strangers.ends[0]).toMatch(/knows another cluster secret/)
    expect(strangers.resets).toBe(0)
  })
})

/** Opens links on one connection, and neither proves anything nor ends a stream. */
class Strangers {
  /** What came first on each: a proof, or why there is none. */
  readonly answers: string[] = []
  /** Why streams were ended after that. */
  readonly ends: string[] = []
  closed = 0
  /** Those that were closed otherwise than in order. */
  resets = 0
  readonly #session: ClientHttp2Session

  constructor(address: string) {
    this.#session = connectHttp2(`http://${address}`)
    this.#session.on('error', () => undefined)
    ends.push(() => this.#session.destroy())
  }

  open(more: Readonly<Record<string, string>> = {}): ClientHttp2Stream {
    const headers = { ':method': 'POST', ':path': exchangePath, 'content-type': 'application/grpc', te: 'trailers' }
    const own = { 'kv-channel': 'requests', 'kv-node': 'a', 'kv-cluster': '', 'kv-nonce': 'A'.repeat(43) }
    const stream = this.#session.request({ ...headers, ...own, ...more }, { endStream: false })
    stream.on('error', () => undefined)
    stream.on('data', () => undefined)
    stream.on('response', (given) => this.answers.push(decoded(given['grpc-message'] ?? given['kv-proof'])))
    stream.on('trailers', (given) => this.ends.push(decoded(given['grpc-message'])))
    stream.on('close', () => {
      this.closed++
      if (stream.rstCode !== constants.NGHTTP2_NO_ERROR) this.resets++
    })
    return stream
  }
}

function decoded(text: unknown): string {
  return decodeURIComponent(String(text))
}

it('a caller who says nothing gets no handshake, and the port serves others', async () => {
  const b = await Peer.start('b', await folder.node('b'))
  const sockets = Array.from({ length: 20 }, () => connectTcp(Number(b.address.split(':')[1]), '127.0.0.1'))
  ends.push(() => {
    for (const socket of sockets) socket.destroy()
  })
  const a = await Peer.start('a', await folder.node('a'))
  expect((await a.call(b)).proved?.nodeId).toBe('b')
})

it('a port that takes TLS and says nothing is given up in time', async () => {
  const server = createServer(() => undefined)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  ends.push(() => void server.close())
  const a = await Peer.start('a', await folder.node('a'))
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`
  await expect(a.call(address, 200)).rejects.toMatchObject({
    code: 'unavailable',
    message: expect.stringContaining('no answer in 200 ms'),
  })
})

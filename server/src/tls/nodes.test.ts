import { randomBytes } from 'node:crypto'
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { get } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { NodeClock } from '@quorumkv/internal/env-node'
import { hlcOf } from '@quorumkv/internal/hlc'
import { Outbox } from '@quorumkv/internal/replication'
import { PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import { afterEach, describe, expect, it } from 'vitest'
import { eventually, type LogLine, openAccess, recordingLog } from '../calls/services.test-support.js'
import { GrpcHost } from '../grpc/grpc-host.js'
import type { RunningNode } from '../hosted-node.js'
import { type StartNodeOptions, startNode } from '../start-node.js'
import { Certificates } from './certificates.js'
import { CertificateFolder, testCluster } from './certificates.test-support.js'
import type { TlsFiles } from './material.js'

const ends: (() => unknown)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'kv-node-'))
  ends.push(() => rmSync(path, { recursive: true, force: true }))
  return path
}

async function certificates(): Promise<CertificateFolder> {
  const folder = await CertificateFolder.create()
  ends.push(() => folder[Symbol.dispose]())
  return folder
}

function settingsOf({ cert, key, ca }: TlsFiles): StartNodeOptions {
  return { tlsCert: cert, tlsKey: key, tlsCa: ca }
}

async function start(options: StartNodeOptions): Promise<RunningNode> {
  const node = await startNode({ addr: '127.0.0.1:0', dataDir: directory(), replicationFactor: 1, ...options })
  ends.push(() => node.stop())
  return node
}

/** What a node says first that calls itself n2. */
function impostorsHello(): Uint8Array {
  const outbox = new Outbox()
  const founder = { nodeId: 'n2', incarnation: 'a'.repeat(32), address: 'n2:1', zone: '', weight: 1 }
  const settings = { replicationFactor: 1, readQuorum: 1, writeQuorum: 1, virtualNodes: 150 }
  const hello = {
    ...founder,
    ...settings,
    levelMin: 1,
    levelMax: 1,
    authenticates: false,
    clusterId: '',
    met: [],
    unmet: [],
    life: 'l',
  }
  outbox.addControl({ hello })
  return outbox.encode(hlcOf(Date.now(), 0), 0, Date.now())
}

/** A whole answer over HTTPS, or how that failed. */
function fetchText(url: string, options: Readonly<Record<string, unknown>>): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false, ...options }, (response) => {
      let text = ''
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString()
      })
      response.on('end', () => resolve(`${response.statusCode} ${text}`))
    })
    request.on('error', (error: NodeJS.ErrnoException) => reject(new Error(`${error.code ?? ''} ${error.message}`)))
  })
}

describe('a node with a certificate', () => {
  it('is called what the certificate says, and founds the cluster that it says', async () => {
    const folder = await certificates()
    const node = await start(settingsOf(await folder.node('n1')))
    await node.ready
    expect([node.id, node.clusterId]).toEqual(['n1', testCluster])
  })

  it.each<[string, (folder: CertificateFolder, dataDir: string) => Promise<StartNodeOptions>, RegExp]>([
    [
      '--id',
      async (folder) => ({ ...settingsOf(await folder.node('n1')), id: 'n2' }),
      /that of node n1 of cluster .*, and --id is n2/,
    ],
    [
      'its data directory',
      async (folder, dataDir) => ({ ...settingsOf(await folder.node('n2')), dataDir }),
      /that of node n2 .*, and the data directory belongs to node n1/,
    ],
    [
      'its cluster',
      async (folder, dataDir) => ({ ...settingsOf(await folder.node('n1', {}, 'f'.repeat(32))), dataDir }),
      /of cluster f+, and the data directory belongs to cluster 0123/,
    ],
    [
      'anybody',
      async (folder) => settingsOf(folder.write('none', await folder.issue('none', []))),
      /names no node, by which other nodes could know this one/,
    ],
  ])('is refused where that is not %s', async (_what, options, message) => {
    const folder = await certificates()
    const dataDir = directory()
    const node = await start({ ...settingsOf(await folder.node('n1')), dataDir })
    await node.ready
    await node.stop()
    await expect(start(await options(folder, dataDir))).rejects.toMatchObject({
      reason: 'usage',
      message: expect.stringMatching(message),
    })
  })

  it('serves HTTPS, and follows its files without a new connection for those that are there', async () => {
    const folder = await certificates()
    const lines: LogLine[] = []
    const node = await start({
      ...settingsOf(await folder.node('n1')),
      httpAddr: '127.0.0.1:0',
      log: recordingLog(lines),
    })
    await node.ready
    const url = `https://${node.httpAddresses[0]}/livez`
    const ca = readFileSync(folder.ca)
    expect(await fetchText(url, { ca })).toMatch(/^200 /)
    await expect(fetchText(url, {})).rejects.toThrow(/SELF_SIGNED_CERT_IN_CHAIN/)
    await expect(fetch(url.replace('https', 'http'))).rejects.toThrow()
    await folder.node('n1', { hosts: ['elsewhere.example'] })
    await node.reload()
    await expect(fetchText(url, { ca })).rejects.toThrow(/ERR_TLS_CERT_ALTNAME_INVALID/)
    expect(lines.filter(({ level }) => level === 'error')).toEqual([])
    const figure = async (name: string): Promise<number> => {
      const options = { ca, checkServerIdentity: () => undefined }
      const text = await fetchText(url.replace('livez', 'metrics'), options)
      return Number(
        text
          .split('\n')
          .find((line) => line.startsWith(`${name} `))
          ?.slice(name.length),
      )
    }
    expect(await figure('kv_tls_reloads_total{outcome="ok"}')).toBe(1)
    expect(await figure('kv_tls_reloads_total{outcome="failed"}')).toBe(0)
    expect(await figure('kv_tls_certificate_expiry_seconds{kind="node"}')).toBeGreaterThan(Date.now() / 1_000)
    // The request without TLS.
    expect(await figure('kv_tls_handshakes_failed_total{kind="http"}')).toBe(1)
    expect(await figure('kv_tls_handshakes_failed_total{kind="grpc"}')).toBe(0)
    await expect(fetch(`http://${node.addresses[0]}`)).rejects.toThrow()
    expect(await figure('kv_tls_handshakes_failed_total{kind="grpc"}')).toBe(1)
    await folder.node('n2').then(({ cert }) => copyFileSync(cert, join(folder.path, 'n1/tls.crt')))
    await node.reload()
    expect(await figure('kv_tls_reloads_total{outcome="failed"}')).toBe(1)
    expect(lines.filter(({ level }) => level === 'error').map(({ message }) => message)).toEqual([
      'a new certificate is not used',
    ])
  })

  it('lets nobody in over HTTP without a certificate where it is told so', async () => {
    const folder = await certificates()
    const node = await start({
      ...settingsOf(await folder.node('n1')),
      httpAddr: '127.0.0.1:0',
      requireClientCert: true,
    })
    await node.ready
    const url = `https://${node.httpAddresses[0]}/livez`
    const ca = readFileSync(folder.ca)
    await expect(fetchText(url, { ca })).rejects.toThrow()
    const app = await folder.client('app')
    expect(await fetchText(url, { ca, cert: readFileSync(app.cert), key: readFileSync(app.key) })).toMatch(/^200 /)
  })

  it('does not believe another node that calls itself by a name that is not in its certificate', async () => {
    const folder = await certificates()
    const lines: LogLine[] = []
    const node = await start({ ...settingsOf(await folder.node('n1')), log: recordingLog(lines) })
    await node.ready
    const opened = await Certificates.open({
      files: await folder.node('n3'),
      clock: new NodeClock(),
      log: recordingLog([]),
    })
    const trust = { certificates: opened, secret: undefined, self: () => ({ nodeId: 'n3', clusterId: testCluster }) }
    const impostor = new GrpcHost(recordingLog([]), () => undefined, openAccess, { tls: undefined, trust })
    ends.push(async () => {
      opened.close()
      await impostor.stop(0)
    })
    for (const channel of ['requests', 'gossip', 'bulk'] as const) {
      const link = await impostor.network.connect(node.address, channel, 5_000)
      const answers: PeerMessage[] = []
      link.start({
        message: (bytes) => answers.push(PeerMessage.decode(Buffer.from(bytes))),
        drain: () => undefined,
        close: () => undefined,
      })
      link.send(impostorsHello())
      await eventually('it is answered', () => answers.length > 0)
      expect(answers[0]?.refusal).toEqual({ code: 'identity', message: 'it calls itself n2, and has proved to be n3' })
    }
    expect(lines.some(({ message, facts }) => message === 'a node was refused' && facts['code'] === 'identity')).toBe(
      true,
    )
  })
})

describe('three nodes', () => {
  const form = async (options: (id: string) => Promise<StartNodeOptions>): Promise<RunningNode[]> => {
    const ids = ['n1', 'n2', 'n3']
    const nodes: RunningNode[] = []
    const [first] = ids
    nodes.push(await start({ ...(await options(first!)), replicationFactor: 3 }))
    for (const id of ids.slice(1)) {
      nodes.push(await start({ ...(await options(id)), replicationFactor: 3, peers: [nodes[0]!.address] }))
    }
    await Promise.all(nodes.map((node) => node.ready))
    return nodes
  }

  it('form a cluster by their certificates, which has the name that these say', async () => {
    const folder = await certificates()
    const nodes = await form(async (id) => settingsOf(await folder.node(id)))
    expect(nodes.map(({ id, clusterId }) => [id, clusterId])).toEqual(['n1', 'n2', 'n3'].map((id) => [id, testCluster]))
  })

  it('form a cluster by a secret, and one without it stays outside', async () => {
    const folder = await certificates()
    const file = folder.write('secret', { cert: randomBytes(32).toString('hex'), key: '' }).cert
    const { chmodSync } = await import('node:fs')
    await expect(start({ clusterSecretFile: file })).rejects.toThrow(/everybody on this machine may open/)
    chmodSync(file, 0o600)
    const nodes = await form(async (id) => ({ id, clusterSecretFile: file }))
    const lines: LogLine[] = []
    const outside = await start({
      id: 'n4',
      peers: [nodes[0]!.address],
      replicationFactor: 3,
      log: recordingLog(lines),
    })
    await eventually('it says why', () => lines.some(({ message }) => message.startsWith('no link to another node')))
    expect(lines.filter(({ message }) => message.startsWith('no link to another node'))).toHaveLength(1)
    expect(outside.clusterId).toBeUndefined()
  })
})

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { credentials, Metadata, type ServiceError } from '@grpc/grpc-js'
import { ClusterClient } from '@quorumkv/proto/kv/v1/cluster'
import { Consistency, KvClient } from '@quorumkv/proto/kv/v1/kv'
import { expect, test } from 'vitest'
import { startNode } from '../start-node.js'
import { CertificateFolder, testCluster } from '../tls/certificates.test-support.js'
import type { TlsFiles } from '../tls/material.js'
import { nodeUri } from '../tls/names.js'
import { TestAuthFile } from './access.test-support.js'

test('over TLS a certificate of the cluster that names a principal is enough; a node’s lets it look; another’s, nothing', async () => {
  using folder = await CertificateFolder.create()
  using others = await CertificateFolder.create('another')
  using file = new TestAuthFile()
  const dataDir = mkdtempSync(join(tmpdir(), 'kv-node-'))
  const { cert, key, ca } = await folder.node('n1')
  const tls = { tlsCert: cert, tlsKey: key, tlsCa: ca }
  const authFile = file.path
  await using node = await startNode({ addr: '127.0.0.1:0', dataDir, replicationFactor: 1, authFile, ...tls })
  await node.ready
  const told = async (
    files: TlsFiles | undefined,
    what: 'get' | 'put' | 'session' | 'status' | 'drain',
  ): Promise<number> => {
    const read = (path: string): Buffer => readFileSync(path)
    const channel =
      files === undefined
        ? credentials.createSsl(read(folder.ca))
        : credentials.createSsl(read(folder.ca), read(files.key), read(files.cert))
    const [kv, cluster] = [new KvClient(node.addresses[0]!, channel), new ClusterClient(node.addresses[0]!, channel)]
    try {
      return await new Promise((resolve) => {
        const done = (error: ServiceError | null): void => resolve(error?.code ?? 0)
        const common = { key: Buffer.from('k'), consistency: Consistency.UNSPECIFIED }
        if (what === 'get') kv.get(common, done)
        else if (what === 'put') kv.put({ ...common, value: Buffer.from('v'), returnPrevious: false }, done)
        else if (what === 'session')
          kv.session(new Metadata(), { deadline: Date.now() + 1_000 })
            .on('error', done)
            .resume()
        else if (what === 'drain') cluster.drain({}, done)
        else cluster.status({}, done)
      })
    } finally {
      kv.close()
      cluster.close()
    }
  }
  const [ok, untilDeadline, denied, nobody] = [0, 4, 7, 16]
  const root = await folder.client('root')
  expect([await told(root, 'put'), await told(root, 'get'), await told(root, 'status')]).toEqual([ok, ok, ok])
  const peer = folder.write('again', await folder.issue('n1', [nodeUri(testCluster, 'n1')]))
  expect([await told(peer, 'status'), await told(peer, 'put'), await told(peer, 'drain')]).toEqual([ok, denied, denied])
  // A client that looks at the node has one, in which it may ask for nothing.
  expect(await told(peer, 'session')).toBe(untilDeadline)
  // It may have been one.
  expect(await told(await folder.node('n2'), 'status')).toBe(nobody)
  expect(await told(await folder.client('unknown'), 'get')).toBe(nobody)
  expect(await told(undefined, 'get')).toBe(nobody)
  // Nobody here vouches for it: it is as if none were shown.
  expect(await told(await others.client('root'), 'get')).toBe(nobody)
  rmSync(dataDir, { recursive: true })
}, 60_000)

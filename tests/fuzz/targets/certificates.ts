import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { KvError } from '@quorumkv/internal/base'
import type { SimRandom } from '@quorumkv/internal/env-sim'
import { CertificateFolder, testCluster } from '../../../server/src/tls/certificates.test-support.js'
import { ClusterSecret } from '../../../server/src/tls/cluster-secret.js'
import { readMaterial } from '../../../server/src/tls/material.js'
import { clientUri, nodeUri } from '../../../server/src/tls/names.js'
import { concat, mutate, mutateText } from '../mutate.js'
import { Fault, refusedLaterBy, type Target } from '../target.js'

const promised = (error: unknown): boolean =>
  error instanceof KvError && error.code === 'invalid-argument' && !/PRIVATE KEY-----./s.test(error.message)

/** The bytes within a file in PEM are changed, and what is around them fits: OpenSSL gets as far as what they say. */
function withOtherContents(random: SimRandom, pem: Uint8Array): Uint8Array {
  const match = /-----BEGIN ([A-Z ]+)-----([^-]+)-----END/.exec(Buffer.from(pem).toString('latin1'))
  if (match === null) return pem
  const [, label = '', contents = ''] = match
  const der = mutate(random, [Buffer.from(contents, 'base64')])
  const lines = Buffer.from(der)
    .toString('base64')
    .replace(/.{64}(?=.)/g, '$&\n')
  return Buffer.from(`-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`)
}

/**
 * The files that TLS is set up with: certificate, key, authorities, and the cluster's secret. The first byte of an input says which
 * of them it is; the others are as they should be. Certificates are new in every run, and so are inputs that are made of them.
 */
export const certificateFile: Target = {
  name: 'certificate-file',
  share: 3,
  async open() {
    const folder = await CertificateFolder.create('fuzz')
    const { authority } = folder
    const valid = { fromMs: Date.now() - 3_600_000, toMs: Date.now() + 86_400_000 }
    const own = await authority.issue({
      subject: 'n1',
      hosts: ['localhost'],
      uris: [nodeUri(testCluster, 'n1')],
      ...valid,
    })
    const strange = await authority.issue({
      subject: '',
      hosts: ['::1'],
      uris: [clientUri(testCluster, 'a'), 'https://x/'],
      ...valid,
    })
    const honest = [own.cert, own.key, authority.cert, 's'.repeat(40)].map((text) => Buffer.from(text))
    const corpora: readonly (readonly Uint8Array[])[] = [
      [honest[0]!, honest[0]!, Buffer.from(strange.cert), concat(honest[0]!, honest[2]!)],
      [honest[1]!, honest[1]!, Buffer.from(strange.key)],
      [honest[2]!, honest[2]!, concat(honest[2]!, honest[0]!)],
      [honest[3]!, Buffer.alloc(33, 's'), Buffer.from(`${'s'.repeat(32)}\n`)],
    ]
    const directory = join(folder.path, 'fuzz')
    mkdirSync(directory)
    const paths = ['tls.crt', 'tls.key', 'ca.crt', 'secret'].map((name) => join(directory, name))
    const write = (at: number, bytes: Uint8Array): void => writeFileSync(paths[at]!, bytes, { mode: 0o600 })
    for (const [at, bytes] of honest.entries()) write(at, bytes)
    const [cert = '', key = '', ca = '', secret = ''] = paths
    const words = [
      '-----BEGIN CERTIFICATE-----\n',
      '-----END CERTIFICATE-----',
      '-----BEGIN ENCRYPTED PRIVATE KEY-----\n',
      '\r\n',
      '\0',
    ]
    return {
      make: (random) => {
        const at = random.below(20) === 0 ? 3 : random.below(3)
        const corpus = corpora[at]!
        const isWhole = at < 3 && random.chance(0.6)
        return concat(
          Uint8Array.of(at),
          isWhole ? withOtherContents(random, random.pick(corpus)) : mutateText(random, corpus, words),
        )
      },
      run: async (input) => {
        const at = (input[0] ?? 0) % paths.length
        write(at, input.subarray(1))
        try {
          return await refusedLaterBy(promised, async () => {
            if (at === 3) {
              await ClusterSecret.read(secret)
              return
            }
            const { facts, name, isFor } = await readMaterial({ cert, key, ca: ca }, Date.now())
            if (name !== undefined && (name.clusterId !== testCluster || name.nodeId !== 'n1'))
              throw new Fault(`taken for ${name.nodeId}`)
            // What is shown of it must be shown.
            for (const { fromMs, toMs } of facts)
              if (!Number.isFinite(fromMs) || !Number.isFinite(toMs))
                throw new Fault('a certificate without dates was taken')
            isFor('localhost')
            isFor('127.0.0.1')
          })
        } finally {
          write(at, honest[at]!)
        }
      },
      close: async () => {
        rmSync(directory, { recursive: true })
        folder[Symbol.dispose]()
      },
    }
  },
}

import { writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Authority } from './authority.js'
import { around, CertificateFolder, hourMs, testCluster } from './certificates.test-support.js'
import { readMaterial, type TlsFiles } from './material.js'
import { nodeUri } from './names.js'

let folder: CertificateFolder
let other: CertificateFolder

beforeAll(async () => {
  folder = await CertificateFolder.create()
  other = await CertificateFolder.create('another')
})

afterAll(() => {
  folder[Symbol.dispose]()
  other[Symbol.dispose]()
})

const nowMs = Date.now()

describe('what a server reads of its certificate', () => {
  it('is whom it names, until when it and its authority hold, and the context of TLS 1.2 at least', async () => {
    const material = await readMaterial(await folder.node('n1'), nowMs)
    expect(material.name).toEqual({ clusterId: testCluster, nodeId: 'n1' })
    expect(material.hasAuthority).toBe(true)
    expect(material.context.minVersion).toBe('TLSv1.2')
    expect(material.facts.map(({ kind, subject }) => [kind, subject])).toEqual([
      ['node', 'n1'],
      ['authority', 'a test authority'],
    ])
    for (const { toMs } of material.facts) expect(Math.abs(toMs - nowMs - hourMs)).toBeLessThan(60_000)
  })

  it('does without an authority, and without a name', async () => {
    const files = folder.write('plain', await folder.issue('plain', []))
    const material = await readMaterial({ ...files, ca: undefined }, nowMs)
    expect([material.name, material.hasAuthority]).toEqual([undefined, false])
  })

  it('tells of the authority that expires first, of several', async () => {
    const files = await folder.node('n1')
    const older = await Authority.create('an older one', { fromMs: nowMs - hourMs, toMs: nowMs + 60_000 })
    const ca = `${files.ca}.both`
    writeFileSync(ca, folder.authority.cert + older.cert)
    const { facts } = await readMaterial({ ...files, ca }, nowMs)
    expect(facts[1]).toMatchObject({ kind: 'authority', subject: 'an older one' })
  })
})

const bad: readonly [string, () => Promise<TlsFiles>, RegExp][] = [
  [
    'has expired',
    () => folder.node('old', { fromMs: nowMs - 2 * hourMs, toMs: nowMs - hourMs }),
    /^tls-cert: the certificate of old has expired on 20/,
  ],
  [
    'holds only later',
    () => folder.node('new', { fromMs: nowMs + hourMs, toMs: nowMs + 2 * hourMs }),
    /^tls-cert: the certificate of new is not valid before 20/,
  ],
  [
    'is signed by another authority',
    async () => ({ ...(await folder.node('n1')), ca: other.ca }),
    /^tls-cert: other nodes with .* would not accept .*no authority that is trusted here/,
  ],
  [
    'may not call',
    () => folder.node('deaf', { uses: ['server'] }),
    /^tls-cert: .*as a caller: its certificate was not made for this use/,
  ],
  [
    'may not answer',
    () => folder.node('mute', { uses: ['client'] }),
    /^tls-cert: .*its certificate was not made for this use/,
  ],
  ['is a client’s', () => folder.client('app'), /^tls-cert: .* is the certificate of a client \(app\), not of a node/],
  [
    'names two',
    async () => folder.write('two', await folder.issue('two', [nodeUri(testCluster, 'a'), nodeUri(testCluster, 'b')])),
    /^tls-cert: .*may name one only/,
  ],
  [
    'names nobody in a way that looks like it',
    async () => folder.write('odd', await folder.issue('odd', ['quorumkv://here/node/n1'])),
    /^tls-cert: .*is neither/,
  ],
  [
    'has the key of another',
    async () => ({ ...(await folder.node('n1')), key: (await folder.node('n2')).key }),
    /^tls-key: the key in .* is not that of/,
  ],
  [
    'is not there',
    async () => ({ ...(await folder.node('n1')), cert: '/nowhere' }),
    /^tls-cert: cannot read \/nowhere/,
  ],
  [
    'is no certificate',
    async () => ({ ...(await folder.node('n1')), cert: (await folder.node('n1')).key }),
    /^tls-cert: .* holds no certificate in PEM/,
  ],
  [
    'comes with a certificate for a key',
    async () => ({ ...(await folder.node('n1')), key: (await folder.node('n1')).cert }),
    /^tls-key: .* holds no private key/,
  ],
]

describe('a server refuses a certificate that', () => {
  it.each(bad)('%s', async (_what, files, message) => {
    await expect(readMaterial(await files(), nowMs)).rejects.toMatchObject({
      code: 'invalid-argument',
      message: expect.stringMatching(message),
    })
  })

  it('is damaged', async () => {
    const files = await folder.node('damaged')
    writeFileSync(files.cert, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n')
    await expect(readMaterial(files, nowMs)).rejects.toThrow(/^tls-cert: certificate 1 of .* cannot be read/)
  })

  it('is larger than any certificate', async () => {
    const files = await folder.node('huge')
    writeFileSync(files.cert, Buffer.alloc(1_048_577))
    await expect(readMaterial(files, nowMs)).rejects.toThrow(/^tls-cert: .* has 1048577 bytes; at most 1048576/)
  })
})

it('an authority that is loaded from its files signs as before', async () => {
  const again = await Authority.load({ cert: folder.authority.cert, key: await folder.authority.key() })
  const issued = await again.issue({ subject: 'n1', uris: [nodeUri(testCluster, 'n1')], ...around(nowMs) })
  await expect(readMaterial(folder.write('again', issued), nowMs)).resolves.toMatchObject({ name: { nodeId: 'n1' } })
})

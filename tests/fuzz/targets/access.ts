import { FatalError, KvError } from '@quorumkv/internal/base'
import { silentLog } from '@quorumkv/internal/env'
import { NodeClock } from '@quorumkv/internal/env-node'
import { newToken } from '@quorumkv/proto/tokens'
import { KvError as ClientError } from '../../../client-sdk/src/errors.js'
import { TokenSource } from '../../../client-sdk/src/token-source.js'
import { demandingAccess, entry, TestAuthFile } from '../../../server/src/access/access.test-support.js'
import { AccessControl } from '../../../server/src/access/access-control.js'
import { openAudit } from '../../../server/src/access/audit.js'
import { AuthFile, parseAuthFile } from '../../../server/src/access/auth-file.js'
import { CallerProof } from '../../../server/src/access/caller-proof.js'
import { ClusterSecret } from '../../../server/src/tls/cluster-secret.js'
import { alternativeNames, certificateName, clientUri, nodeUri } from '../../../server/src/tls/names.js'
import { mutateText } from '../mutate.js'
import { Fault, refusedBy, type Target } from '../target.js'

const bytes = (text: string): Uint8Array => Buffer.from(text)
const textOf = (input: Uint8Array): string => Buffer.from(input).toString('utf8')

/** Files of principals. No refusal may tell what stands in them. */
export const authFile: Target = {
  name: 'auth-file',
  share: 8,
  bytesPerByteMax: 4_000,
  async open() {
    const hash = 'c0ffee'.repeat(11).slice(0, 64)
    const principal = `{"name": "app", "role": "write", "tokenSha256": "${hash}", "prefixesBase64": ["YTo="], "expires": "2030-01-31T00:00:00Z"}`
    const corpus = [
      entry(newToken('root')),
      `${entry(newToken('root'))}  - name: app\n    role: read\n    prefixes: ["a:", 'b:']\n    tokenSha256: ${hash}\n`,
      `{"principals": [${principal}, {"name": "root", "role": "admin", "tokenSha256": "${hash}"}]}`,
      `a: &a {name: root, role: admin, tokenSha256: ${hash}}\nprincipals: [*a]\n`,
      'principals: []\n',
    ].map(bytes)
    const words = [
      ...['['.repeat(6_000), '{a: '.repeat(4_000), '- '.repeat(9_000), '? '.repeat(9_000), '!a '.repeat(5_000)],
      ...[
        '&a ',
        '*a',
        '<<: *a\n',
        '%YAML 1.9\n',
        '---\n',
        '2030-02-31T00:00:00Z',
        '+275761-01-01T00:00:00Z',
        '__proto__: ',
      ],
    ]
    return {
      make: (random) => mutateText(random, corpus, words),
      run: (input) => {
        const text = textOf(input)
        return refusedBy(
          (error) => {
            if (!(error instanceof FatalError && error.reason === 'usage')) return false
            if (/[0-9a-f]{16}/.test(error.message)) throw new Fault(`tells what stands there: ${error.message}`)
            return true
          },
          () => {
            const found = parseAuthFile(text, 'auth.yaml')
            if (!found.some(({ role, prefixes }) => role === 'admin' && prefixes.length === 0))
              throw new Fault('no admin')
            for (const { tokenHash, expiresAtMs } of found) {
              const isTime = expiresAtMs === undefined || Number.isSafeInteger(expiresAtMs)
              if (tokenHash.length !== 32 || !isTime) throw new Fault('a principal that is none')
            }
          },
        )
      },
    }
  },
}

/** What callers show. Only a token that stands in the file, or a proof of one who knows the secret, lets anybody in. */
export const authorization: Target = {
  name: 'authorization',
  share: 50,
  async open() {
    const file = new TestAuthFile()
    const clock = new NodeClock()
    const proof = new CallerProof(new ClusterSecret(Buffer.alloc(32, 7)), clock)
    const node = demandingAccess(file)(() => undefined, silentLog)
    const audit = openAudit(silentLog, () => clock.wallMs())
    const proving = new AccessControl({
      ...{ clock, log: silentLog, audit, node: () => undefined, proof },
      file: new AuthFile(file.path),
    })
    const shown = proof.show('n1', '')
    const corpus = [
      ...[
        `Bearer ${file.token}`,
        `bearer   ${file.token}`,
        `Bearer ${newToken('root')}`,
        `Bearer ${newToken('other')}`,
      ],
      ...[
        shown,
        'QuorumKV-Node n1 1700000000000 x',
        'Basic cm9vdDpyb290',
        '',
        'Bearer qkv_root_',
        `Bearer ${'a'.repeat(5_000)}`,
      ],
    ].map(bytes)
    const promised = (error: unknown): boolean =>
      (error instanceof KvError && (error.code === 'unauthenticated' || error.code === 'unavailable')) ||
      (error instanceof ClientError && error.code === 'invalid-argument')
    return {
      make: (random) =>
        mutateText(random, corpus, ['Bearer ', ' ', '\0', '__proto__', 'constructor', '=', '9'.repeat(20)]),
      run: (input) => {
        const text = textOf(input)
        let verdict: 'taken' | 'refused' = 'refused'
        for (const access of [node, proving]) {
          const one = refusedBy(promised, () => {
            const { name } = access.identify(text)
            const isRoot = name === 'root' && text.endsWith(` ${file.token}`)
            if (!isRoot && !(access === proving && text === shown)) throw new Fault(`${name} was let in`)
          })
          if (one === 'taken') verdict = one
        }
        refusedBy(promised, () => TokenSource.of({ token: text }))
        return verdict
      },
      close: async () => {
        node.stop()
        proving.stop()
        file[Symbol.dispose]()
      },
    }
  },
}

/** The names in certificates, as Node tells them. */
export const certificateNames: Target = {
  name: 'certificate-name',
  share: 50,
  async open() {
    const cluster = '0123456789abcdef'.repeat(2)
    const corpus = [
      `DNS:n1.example, IP Address:127.0.0.1, URI:${nodeUri(cluster, 'n1')}`,
      `URI:${clientUri(cluster, 'app')}`,
      `DNS:"a, URI:${nodeUri(cluster, 'n2')}", URI:https://a.example/`,
      `URI:"${clientUri(cluster, 'app')}", DNS:"\\u0061\\"b"`,
      `URI:${nodeUri(cluster, 'n1')}, URI:${nodeUri(cluster, 'n2')}`,
      `DirName:"C=a, CN=\\\\b", othername:<unsupported>`,
    ].map(bytes)
    return {
      make: (random) =>
        mutateText(random, corpus, [
          ', ',
          '"',
          '\\',
          'URI:quorumkv://',
          '/node/',
          '/client/',
          '\\u00',
          '\0',
          'QUORUMKV:',
        ]),
      run: (input) => {
        const text = textOf(input)
        return refusedBy(
          (error) => error instanceof KvError && error.code === 'permission-denied',
          () => {
            const found = certificateName(text)
            if (found === undefined) return
            const name =
              found.kind === 'node'
                ? nodeUri(found.clusterId, found.nodeId)
                : clientUri(found.clusterId, found.principal)
            const uris = alternativeNames(text).filter(({ type, value }) => type === 'URI' && value === name)
            if (uris.length !== 1) throw new Fault(`taken for ${name}`)
          },
        )
      },
    }
  },
}

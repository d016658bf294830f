import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { FatalError, KvError } from '@quorumkv/internal/base'
import { keyOf, wholeNumber } from '../../../client-sdk/cli/src/arguments.js'
import { parseDuration } from '../../../client-sdk/cli/src/duration.js'
import { FailedError, UsageError } from '../../../client-sdk/cli/src/exit.js'
import { streamInput } from '../../../client-sdk/cli/src/import/input.js'
import { BadLineError, decodeLine, encodeLine } from '../../../client-sdk/cli/src/jsonl.js'
import { parseBytes } from '../../../client-sdk/cli/src/text.js'
import { KvError as ClientError } from '../../../client-sdk/src/errors.js'
import { resolveOptions } from '../../../client-sdk/src/options.js'
import { parseEndpoint } from '../../../client-sdk/src/topology/endpoints.js'
import { Version } from '../../../client-sdk/src/version.js'
import { decodeCursor, encodeCursor } from '../../../internal/replication/operations/scan.js'
import { resolveConfig } from '../../../server/src/config/config.js'
import { fileSource } from '../../../server/src/config/config-file.js'
import { parseDurationMs, parseSizeBytes, parseWhole } from '../../../server/src/config/units.js'
import { keyOfPath, queryBytes } from '../../../server/src/http/url-bytes.js'
import { mutate, mutateText } from '../mutate.js'
import { Fault, refusedBy, refusedLaterBy, type Target } from '../target.js'

const bytes = (text: string): Uint8Array => Buffer.from(text)
const textOf = (input: Uint8Array): string => Buffer.from(input).toString('utf8')
const numbers = ['9'.repeat(400), '1e999', '-0', '0x10', '٣', '1_000', 'NaN', '0.0000001']

export const configFile: Target = {
  name: 'config',
  share: 8,
  bytesPerByteMax: 4_000,
  async open() {
    const folder = mkdtempSync(join(tmpdir(), 'quorumkv-fuzz-'))
    const path = join(folder, 'config.yaml')
    const corpus = [
      'addr: 127.0.0.1:50051\npeers:\n  - n1@127.0.0.1:1\n  - 127.0.0.1:2\nid: n1\n',
      '{"addr": ":50051", "fsync": "interval", "snapshot-wal-bytes": "64MiB", "max-clock-drift": "5s"}',
      'replication-factor: 5\nread-quorum: 3\nwrite-quorum: 3\nvirtual-nodes: 100\nweight: 2\nzone: "a\\u0041"\n',
      'a: &a [x, x]\nb: &b [*a, *a]\npeers: [*b, *b]\n',
      'http-addr: "[::1]:0"\nhttp-allow-host: a.example,b.example\ninsecure: true\nlog-format: json\nslow-ms: 5\n',
    ].map(bytes)
    const words = [
      '['.repeat(6_000),
      '{a: '.repeat(4_000),
      '- '.repeat(9_000),
      '? '.repeat(9_000),
      '&a ',
      '*a',
      '? ',
      '!!js ',
      '%YAML 1.9\n',
      '---\n',
      '<<: *a\n',
      ...numbers,
    ]
    const promised = (error: unknown): boolean =>
      (error instanceof FatalError && error.reason === 'usage') ||
      (error instanceof KvError && error.code === 'invalid-argument')
    return {
      make: (random) => mutateText(random, corpus, words),
      run: (input) => {
        writeFileSync(path, input)
        return refusedBy(promised, () => resolveConfig([fileSource(path)]))
      },
      close: async () => rmSync(folder, { recursive: true }),
    }
  },
}

export const clientUrl: Target = {
  name: 'client-url',
  share: 60,
  async open() {
    const corpus = [
      'kv://127.0.0.1:50051,127.0.0.1:50052?consistency=one&timeoutMs=500&zone=a',
      'kv://[::1]:50051/?tls=1&tlsCa=/nowhere/ca.pem&maxInFlight=16&failWhenRefused=1',
      'localhost:1',
      'kv://a:1?token=qkv_a_b&tokenFile=/nowhere/token&consistency=quorum',
      'kv://[fe80::1%25eth0]:65535,a.b-c_d:1/',
      'kv://a:1?addressMap=a:1=b:2,c:3=d:4&connectTimeoutMs=10&maxInFlightBytes=99999999',
    ].map(bytes)
    const promised = (error: unknown): boolean => error instanceof ClientError && error.code === 'invalid-argument'
    return {
      make: (random) => mutateText(random, corpus, ['%00', '%', '&', '=', ',', '__proto__=1', ...numbers]),
      run: (input) => {
        // What a path names there would be read.
        const text = textOf(input).replace(/(tls(?:Ca|Cert|Key)=)/g, '$1/nowhere/')
        return refusedBy(promised, () => {
          const { endpoints } = resolveOptions(text)
          if (endpoints.length === 0) throw new Fault('no endpoint')
          for (const endpoint of endpoints) {
            const { host, port } = parseEndpoint(endpoint) ?? { host: '', port: 0 }
            // What was read is written so that it is read again as the same.
            const again = resolveOptions(`kv://${endpoint}`).endpoints
            if (host === '' || port === 0 || again.length !== 1 || again[0] !== endpoint)
              throw new Fault(`no endpoint: ${endpoint}`)
          }
        })
      },
    }
  },
}

export const quantities: Target = {
  name: 'quantities',
  share: 50,
  async open() {
    const corpus = ['500ms', '1h30m', '1.5d', '64KiB', '1.5 GiB', '256MB', '300', 'a'.repeat(24), 'a2V5', 'x\\xff'].map(
      bytes,
    )
    const promised = (error: unknown): boolean =>
      error instanceof UsageError || (error instanceof KvError && error.code === 'invalid-argument')
    const readers: readonly ((text: string) => unknown)[] = [
      (text) => parseDuration(text, 'ttl', true),
      (text) => parseDurationMs(text, 'ttl', 1, 1_000_000),
      (text) => parseSizeBytes(text, 'size', 1, 2 ** 40),
      (text) => parseWhole(text, 'count', 0, 1_000),
      (text) => parseBytes(text),
      (text) => wholeNumber('count', 1, Number.MAX_SAFE_INTEGER)(text),
      (text) => Version.parse(text),
      (text) => keyOf(text, {}),
      (text) => keyOf(text, { keyBase64: true }),
    ]
    return {
      make: (random) => mutateText(random, corpus, numbers),
      run: (input) => {
        const text = textOf(input)
        let verdict: 'taken' | 'refused' = 'refused'
        for (const read of readers) {
          const one = refusedBy(promised, () => {
            const value = read(text)
            if (typeof value === 'number' && !Number.isSafeInteger(value)) throw new Fault(`${value} was made of it`)
          })
          if (one === 'taken') verdict = one
        }
        return verdict
      },
    }
  },
}

const lines = [
  '{"key":"a","value":"b"}\n{"key":"c","value":"d","expiresAt":1800000000000}\n',
  '\ufeff{"keyBase64":"/w==","valueBase64":"AAEC"}\r\n\n{"key":"\\u00e4","value":"\\ud83d\\ude00"}',
  encodeLine({ key: Uint8Array.of(0xff, 0), value: Buffer.alloc(300, 'v'), expiresAtMs: 5 }),
  '{"key":"a","value":"b","version":"000","found":true}\n',
]

export const importLine: Target = {
  name: 'import-line',
  share: 50,
  async open() {
    const corpus = lines.map((line) => bytes(line.trimEnd()))
    return {
      make: (random) => mutateText(random, corpus, ['"__proto__":1,', '\\ud800', '"key":', '1e400', ...numbers]),
      run: (input) =>
        refusedBy(
          (error) => error instanceof BadLineError,
          () => {
            const record = decodeLine(Buffer.from(input), true)
            if (record === undefined) return
            // What was read is written so that it is read again.
            const again = decodeLine(Buffer.from(encodeLine(record).trimEnd()), false)
            if (again === undefined || !Buffer.from(again.key).equals(record.key)) throw new Fault('not read back')
          },
        ),
    }
  },
}

export const importStream: Target = {
  name: 'import-stream',
  share: 10,
  async open() {
    const corpus = [
      ...lines.map(bytes),
      ...lines.map((line) => gzipSync(line)),
      gzipSync(Buffer.alloc(30_000, '{"key":"a"}\n')),
    ]
    return {
      make: (random) => mutate(random, corpus),
      run: (input) =>
        refusedLaterBy(
          (error) => error instanceof FailedError,
          async () => {
            const half = Math.floor(input.length / 2)
            const chunks = [Buffer.from(input.subarray(0, half)), Buffer.from(input.subarray(half))]
            const source = streamInput(Readable.from(chunks.filter(({ length }) => length > 0)), 'a pipe')
            let read = 0
            for await (const some of source.lines({ lines: 0, offset: 0 })) {
              // A few bytes of gzip are a hundred thousand bad lines, and an import stops at the first.
              read += some.length
              if (read > 5_000) return
              for (const line of some)
                refusedBy(
                  (error) => error instanceof BadLineError,
                  () => decodeLine(line.bytes, line.number === 1),
                )
            }
          },
        ),
    }
  },
}

export const urlKey: Target = {
  name: 'url-key',
  share: 30,
  async open() {
    const corpus = [
      'http://a/kv/user%3A1?prefix=%ff&cursor=AgAAAAAAAAA',
      '/kv/a%2Fb#x',
      'http://a/kv/YQ?keyEncoding=base64url',
      '/kv?prefix=a+b',
    ].map(bytes)
    return {
      make: (random) => mutateText(random, corpus, ['%', '%00', '%C0%80', '%zz', '%%', '?', '#']),
      run: (input) => {
        const url = Buffer.from(input).toString('latin1')
        return refusedBy(
          (error) => error instanceof KvError,
          () => {
            keyOfPath(url, undefined)
            keyOfPath(url, 'base64url')
            queryBytes(url, 'prefix')
          },
        )
      },
    }
  },
}

/** What scans hand out and get back, in the place of bytes and of text. */
export const cursor: Target = {
  name: 'cursor',
  share: 50,
  async open() {
    const prefix = bytes('user:')
    const corpus = [
      encodeCursor({ slot: 0, after: new Uint8Array(0) }, prefix),
      encodeCursor({ slot: 4095, after: bytes('user:1') }, prefix),
      encodeCursor({ slot: 7, after: Buffer.alloc(1_024, 'k') }, prefix),
      encodeCursor({ slot: 7, after: bytes('user:2') }, bytes('another')),
    ]
    return {
      make: (random) => mutate(random, corpus),
      run: (input) =>
        refusedBy(
          (error) => error instanceof KvError && error.code === 'invalid-argument',
          () => {
            const position = decodeCursor(input, prefix)
            if (input.length > 0 && !Buffer.from(encodeCursor(position, prefix)).equals(input))
              throw new Fault('a cursor that no scan makes was taken')
          },
        ),
    }
  },
}

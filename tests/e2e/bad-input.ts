import type { KvClient, Value } from '@quorumkv/client'
import { Consistency, type Operation, type PutRequest, type ScanRequest } from '@quorumkv/proto/kv/v1/kv'

/*
 * Everything that may be wrong with what a caller says, and how it is said at each surface. `bad-input.test.ts` says all of
 * it to a running server, and writes docs/bad-input.md.
 */

/** The key that is there before, and must be the same after. */
export const keptKey = 'kept'

/** What it is called where it is said, which is what the refusal names. */
interface Named {
  readonly field: string
}

/** Of a unary call, or the pages of a scan, by the names of the generated code. */
export interface GrpcCall extends Named {
  readonly method: 'get' | 'put' | 'delete' | 'scan' | 'reweight' | 'decommission' | 'replace' | 'safeToStop'
  readonly request: object
  /** Milliseconds from now until its deadline. */
  readonly deadlineMs?: number
}

export interface RestRequest extends Named {
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array<ArrayBuffer>
  /** Undefined: 400. */
  readonly status?: number
}

export interface SdkCall extends Named {
  readonly call: (client: KvClient) => Promise<unknown>
}

export interface SessionOperation extends Named {
  readonly operation: Operation['request']
  readonly timeoutMs?: number
}

export interface CommandLine extends Named {
  readonly argv: readonly string[]
}

/** Undefined for a surface: it cannot be said there. */
export interface BadInput {
  readonly what: string
  /** Undefined: `invalid-argument`. */
  readonly code?: 'timeout'
  readonly sdk?: SdkCall
  readonly grpc?: GrpcCall
  /** One operation of a session. */
  readonly session?: SessionOperation
  readonly rest?: RestRequest
  readonly cli?: CommandLine
}

const longKey = 'k'.repeat(1025)
const longValue = 'v'.repeat(1_048_577)
const ttlMsMax = 3_153_600_000_000
/** A number that the schema has not. */
const unknownLevel = 4 as Consistency
const json = { 'content-type': 'application/json' }

type Put = NonNullable<Parameters<KvClient['put']>[2]>
type Scan = NonNullable<Parameters<KvClient['scan']>[0]>

const sdkPut = (field: string, options: Readonly<Record<string, unknown>>, value: Value = 'bad'): SdkCall => ({
  field,
  call: (client) => client.put(keptKey, value, options as Put),
})
const sdkScan = (field: string, options: Readonly<Record<string, unknown>>): SdkCall => ({
  field,
  call: (client) =>
    client
      .scan(options as Scan)
      [Symbol.asyncIterator]()
      .next(),
})

const put = (fields: Partial<PutRequest>): PutRequest => ({
  key: Buffer.from(keptKey),
  value: Buffer.from('bad'),
  consistency: Consistency.UNSPECIFIED,
  returnPrevious: false,
  ...fields,
})
const scan = (fields: Partial<ScanRequest>): ScanRequest => ({
  prefix: Buffer.alloc(0),
  pageSize: 0,
  cursor: Buffer.alloc(0),
  keysOnly: false,
  consistency: Consistency.UNSPECIFIED,
  ...fields,
})
/** The same put as a call and in a session. */
const puts = (field: string, fields: Partial<PutRequest>): Pick<BadInput, 'grpc' | 'session'> => ({
  grpc: { field, method: 'put', request: put(fields) },
  session: { field, operation: { $case: 'put', value: put(fields) } },
})
const scans = (field: string, fields: Partial<ScanRequest>): GrpcCall => ({
  field,
  method: 'scan',
  request: scan(fields),
})
const restPut = (field: string, query: string, body: string | Uint8Array<ArrayBuffer> = 'bad'): RestRequest => ({
  field,
  method: 'PUT',
  path: `/kv/${keptKey}${query}`,
  headers: { 'content-type': 'application/octet-stream' },
  body,
})
const restJson = (field: string, body: string | Uint8Array<ArrayBuffer>, status = 400): RestRequest => ({
  field,
  method: 'PUT',
  path: `/kv/${keptKey}`,
  headers: json,
  body,
  status,
})
const restGet = (field: string, path: string, status = 400): RestRequest => ({
  field,
  method: 'GET',
  path,
  status,
})
const cli = (field: string, ...argv: readonly string[]): CommandLine => ({ field, argv })
const cliPut = (field: string, ...flags: readonly string[]): CommandLine => cli(field, 'put', keptKey, 'bad', ...flags)

const keys: readonly BadInput[] = [
  {
    what: 'an empty key',
    sdk: { field: 'key', call: (client) => client.put('', 'bad') },
    ...puts('key', { key: Buffer.alloc(0) }),
    rest: { field: 'key', method: 'PUT', path: '/kv/', body: 'bad' },
    cli: cli('key', 'put', '', 'bad'),
  },
  {
    what: 'a key of 1,025 bytes',
    sdk: { field: 'key', call: (client) => client.put(longKey, 'bad') },
    ...puts('key', { key: Buffer.from(longKey) }),
    rest: { field: 'key', method: 'PUT', path: `/kv/${longKey}`, body: 'bad' },
    cli: cli('key', 'put', longKey, 'bad'),
  },
  {
    what: 'a read of an empty key',
    sdk: { field: 'key', call: (client) => client.get('') },
    grpc: { field: 'key', method: 'get', request: { key: Buffer.alloc(0), consistency: 0 } },
    session: { field: 'key', operation: { $case: 'get', value: { key: Buffer.alloc(0), consistency: 0 } } },
    rest: restGet('key', '/kv/'),
    cli: cli('key', 'get', ''),
  },
  {
    what: 'a deletion of a key of 1,025 bytes',
    sdk: { field: 'key', call: (client) => client.delete(longKey) },
    grpc: { field: 'key', method: 'delete', request: { key: Buffer.from(longKey), consistency: 0 } },
    session: { field: 'key', operation: { $case: 'delete', value: { key: Buffer.from(longKey), consistency: 0 } } },
    rest: { field: 'key', method: 'DELETE', path: `/kv/${longKey}` },
    cli: cli('key', 'delete', longKey),
  },
  {
    what: 'a key that is text and has no UTF-8 encoding',
    sdk: { field: 'key', call: (client) => client.put('\ud800', 'bad') },
    cli: cli('key', 'put', '\ufffd', 'bad'),
  },
  {
    what: 'a key that is neither text nor bytes',
    sdk: { field: 'key', call: (client) => client.put(7 as unknown as string, 'bad') },
  },
  {
    what: 'a key that is not encoded as it is said to be',
    rest: { field: 'key', method: 'PUT', path: '/kv/a+b?keyEncoding=base64url', body: 'bad' },
    cli: cli('key', 'put', '--key-base64', '***', 'bad'),
  },
  {
    what: 'a broken percent-encoding in the key',
    rest: { field: 'key', method: 'PUT', path: '/kv/a%2', body: 'bad' },
  },
  {
    what: 'an unknown encoding of the key',
    rest: restPut('keyEncoding', '?keyEncoding=hex'),
  },
]

const values: readonly BadInput[] = [
  {
    what: 'a value of 1,048,577 bytes',
    sdk: sdkPut('value', {}, longValue),
    ...puts('value', { value: Buffer.from(longValue) }),
    rest: { ...restPut('value', '', longValue), status: 413 },
    cli: cli('value', 'put', keptKey, '--file', '/dev/zero'),
  },
  {
    what: 'a value that is text and has no UTF-8 encoding',
    sdk: sdkPut('value', {}, '\ud800'),
    rest: restJson('value', '{"value":"\\ud800"}'),
    cli: cli('value', 'put', keptKey, '\ufffd'),
  },
  {
    what: 'a value that is neither text nor bytes',
    sdk: sdkPut('value', {}, 7 as unknown as string),
    rest: restJson('value', '{"value":7}'),
  },
  { what: 'no value', rest: restJson('body', '{}'), cli: cli('value', 'put', keptKey) },
  {
    what: 'two values',
    rest: restJson('body', '{"value":"a","valueBase64":"YQ=="}'),
    cli: cliPut('value', '--file', '/dev/null'),
  },
  { what: 'a value that is not base64', rest: restJson('valueBase64', '{"valueBase64":"%%%%"}') },
  { what: 'an unknown field of the body', rest: restJson('ttlMs', '{"value":"a","ttlMs":5}') },
  { what: 'a body that is not JSON', rest: restJson('body', '{') },
  { what: 'a body that is not UTF-8', rest: restJson('body', Uint8Array.from([0x22, 0xff, 0x22])) },
  { what: 'a body of JSON that is too large', rest: restJson('body', `{"value":"${'v'.repeat(1_400_832)}"}`, 413) },
  {
    what: 'a body of another type',
    rest: { ...restPut('content-type', ''), headers: { 'content-type': 'text/plain' }, status: 415 },
  },
  {
    what: 'a body that is compressed',
    rest: { ...restPut('content-encoding', ''), headers: { 'content-encoding': 'gzip' }, status: 415 },
  },
]

const consistencies: readonly BadInput[] = [
  {
    what: 'an unknown consistency',
    sdk: sdkPut('consistency', { consistency: 'most' }),
    ...puts('consistency', { consistency: unknownLevel }),
    rest: restPut('consistency', '?consistency=most'),
    cli: cliPut('--consistency', '--consistency', 'most'),
  },
  {
    what: 'an unknown consistency of a read',
    sdk: { field: 'consistency', call: (client) => client.get(keptKey, { consistency: '' as 'one' }) },
    grpc: { field: 'consistency', method: 'get', request: { key: Buffer.from(keptKey), consistency: unknownLevel } },
    session: {
      field: 'consistency',
      operation: { $case: 'get', value: { key: Buffer.from(keptKey), consistency: unknownLevel } },
    },
    rest: restGet('consistency', `/kv/${keptKey}?consistency=`),
    cli: cli('--consistency', '--consistency', '', 'get', keptKey),
  },
  {
    what: 'an unknown consistency of a scan',
    sdk: sdkScan('consistency', { consistency: 'Quorum' }),
    grpc: scans('consistency', { consistency: unknownLevel }),
    rest: restGet('consistency', '/kv?consistency=Quorum'),
    cli: cli('--consistency', '--consistency', 'Quorum', 'scan'),
  },
]

const ttl = (what: string, ms: number, text: string, wire: bigint | undefined, cliText: string): BadInput => ({
  what,
  sdk: sdkPut('ttlMs', { ttlMs: ms }),
  ...(wire === undefined ? {} : puts('ttl_ms', { ttlMs: wire })),
  rest: restPut('ttlMs', `?ttlMs=${text}`),
  cli: cliPut('--ttl', `--ttl=${cliText}`),
})
const times: readonly BadInput[] = [
  ttl('a time to live of 0', 0, '0', 0n, '0s'),
  ttl('a negative time to live', -1, '-1', undefined, '-1s'),
  ttl('a time to live that is no number', Number.NaN, 'NaN', undefined, 'NaN'),
  ttl('a fraction of a millisecond to live', 0.4, '0.4', undefined, '0.4ms'),
  ttl(
    'more than a hundred years to live',
    ttlMsMax + 1,
    String(ttlMsMax + 1),
    BigInt(ttlMsMax + 1),
    `${ttlMsMax + 1}ms`,
  ),
  ttl('an endless time to live', Number.POSITIVE_INFINITY, 'Infinity', 0xffff_ffff_ffff_ffffn, 'Infinity'),
  {
    what: 'a timeout of 0',
    sdk: sdkPut('timeoutMs', { timeoutMs: 0 }),
    rest: restPut('timeoutMs', '?timeoutMs=0'),
    cli: cliPut('--timeout', '--timeout', '0'),
  },
  {
    what: 'a timeout that is no number',
    sdk: sdkPut('timeoutMs', { timeoutMs: Number.NaN }),
    rest: restPut('timeoutMs', '?timeoutMs=soon'),
    cli: cliPut('--timeout', '--timeout', 'soon'),
  },
  {
    what: 'a timeout of more than ten minutes',
    sdk: sdkPut('timeoutMs', { timeoutMs: 600_001 }),
    session: { field: 'timeout_ms', timeoutMs: 600_001, operation: { $case: 'put', value: put({}) } },
    rest: restPut('timeoutMs', '?timeoutMs=600001'),
    cli: cliPut('--timeout', '--timeout', '600001'),
  },
  {
    what: 'a deadline that has passed',
    code: 'timeout',
    grpc: { field: '', method: 'put', request: put({}), deadlineMs: -1_000 },
  },
]

const page = (what: string, size: number, wire: boolean): BadInput => ({
  what,
  sdk: sdkScan('pageSize', { pageSize: size }),
  ...(wire ? { grpc: scans('page_size', { pageSize: size }) } : {}),
  rest: restGet('limit', `/kv?limit=${size}`),
  // How many entries are wanted in all: there is no upper bound to it.
  ...(wire ? {} : { cli: cli('--limit', 'scan', `--limit=${size}`) }),
})
const pages: readonly BadInput[] = [
  page('a page of 0 entries', 0, false),
  page('a page of -1 entries', -1, false),
  page('a page of 1.5 entries', 1.5, false),
  page('a page of 4,097 entries', 4097, true),
  {
    what: 'a prefix of 1,025 bytes',
    sdk: sdkScan('prefix', { prefix: longKey }),
    grpc: scans('prefix', { prefix: Buffer.from(longKey) }),
    rest: restGet('prefix', `/kv?prefix=${longKey}`),
    cli: cli('prefix', 'scan', longKey),
  },
  {
    what: 'a cursor that nobody made',
    sdk: sdkScan('cursor', { cursor: 'AAAA' }),
    grpc: scans('cursor', { cursor: Buffer.from([0, 0, 0]) }),
    rest: restGet('cursor', '/kv?cursor=AAAA'),
  },
  {
    what: 'a cursor of a scan with another prefix',
    sdk: sdkScan('cursor', { cursor: Buffer.from([2, 0, 0, 1, 2, 3, 4, 0x6b]).toString('base64url') }),
    grpc: scans('cursor', { cursor: Buffer.from([2, 0, 0, 1, 2, 3, 4, 0x6b]) }),
    rest: restGet('cursor', `/kv?cursor=${Buffer.from([2, 0, 0, 1, 2, 3, 4, 0x6b]).toString('base64url')}`),
  },
  {
    what: 'a cursor that is not in its encoding',
    sdk: sdkScan('cursor', { cursor: '*' }),
    rest: restGet('cursor', '/kv?cursor=*'),
  },
  { what: 'something else than true or false', rest: restGet('keysOnly', '/kv?keysOnly=1') },
  { what: 'a parameter that is not known', rest: restPut('ttl', '?ttl=5'), cli: cliPut('--tll', '--tll', '5s') },
  { what: 'a parameter twice', rest: restPut('ttlMs', '?ttlMs=1&ttlMs=2') },
]

const operators: readonly BadInput[] = [
  {
    what: 'a weight of 0',
    sdk: { field: 'weight', call: (client) => client.operator.reweight('n1', 0) },
    grpc: { field: 'weight', method: 'reweight', request: { id: 'n1', weight: 0, dryRun: false } },
    cli: cli('weight', 'node', 'reweight', 'n1', '0', '--yes'),
  },
  {
    what: 'a weight of 1,001',
    sdk: { field: 'weight', call: (client) => client.operator.reweight('n1', 1001) },
    grpc: { field: 'weight', method: 'reweight', request: { id: 'n1', weight: 1001, dryRun: false } },
    cli: cli('weight', 'node', 'reweight', 'n1', '1001', '--yes'),
  },
  {
    what: 'no member',
    sdk: { field: 'id', call: (client) => client.operator.decommission('') },
    grpc: { field: 'id', method: 'decommission', request: { id: '', dryRun: false } },
    cli: cli('id', 'node', 'decommission', '', '--yes'),
  },
  {
    what: 'the id of nobody',
    sdk: { field: 'id', call: (client) => client.operator.safeToStop('nobody') },
    grpc: { field: 'id', method: 'safeToStop', request: { id: 'nobody' } },
    cli: cli('id', 'node', 'safe-to-stop', 'nobody'),
  },
  {
    what: 'the id of nobody, to go',
    sdk: { field: 'id', call: (client) => client.operator.decommission('nobody') },
    grpc: { field: 'id', method: 'decommission', request: { id: 'nobody', dryRun: false } },
    cli: cli('id', 'node', 'decommission', 'nobody', '--yes'),
  },
  {
    what: 'what cannot be an id',
    sdk: { field: 'by', call: (client) => client.operator.replace('n1', 'N 2') },
    grpc: { field: 'by', method: 'replace', request: { id: 'n1', by: 'N 2', dryRun: false } },
    cli: cli('--by', 'node', 'replace', 'n1', '--by', 'N 2', '--yes'),
  },
]

const requests: readonly BadInput[] = [
  { what: 'an operation that asks for nothing', session: { field: 'request', operation: undefined } },
  { what: 'what is not here', rest: restGet('path', '/keys/kept', 404), cli: cli('command', 'puts', keptKey, 'bad') },
  {
    what: 'an operation that is not known here',
    rest: { field: 'method', method: 'POST', path: `/kv/${keptKey}`, body: 'bad', status: 405 },
  },
  { what: 'a condition', rest: { ...restPut('if-match', ''), headers: { 'if-match': '*' } } },
  { what: 'an argument too few', cli: cli('key', 'get') },
]

export const badInputs: readonly BadInput[] = [
  ...keys,
  ...values,
  ...consistencies,
  ...times,
  ...pages,
  ...operators,
  ...requests,
]

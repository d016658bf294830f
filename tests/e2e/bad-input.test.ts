import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Client, type ClientReadableStream, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { type KvClient, KvError } from '@quorumkv/client'
import { ClusterService } from '@quorumkv/proto/kv/v1/cluster'
import {
  ErrorCode,
  KvService,
  KvClient as RawKv,
  type SessionRequest,
  type SessionResponse,
  WriteOutcome,
} from '@quorumkv/proto/kv/v1/kv'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeClient, startKv, startServers, type TestCluster, type TestServer } from '../fixtures.js'
import {
  type BadInput,
  badInputs,
  type CommandLine,
  type GrpcCall,
  keptKey,
  type RestRequest,
  type SdkCall,
  type SessionOperation,
} from './bad-input.js'

/** How a surface refused what was said to it. */
interface Refusal {
  readonly code: string | undefined
  readonly field: string | undefined
  /** Undefined where the surface does not say it: of reads, and of calls of operators. */
  readonly outcome: string | undefined
}

type Surface = 'sdk' | 'grpc' | 'session' | 'rest' | 'cli'

const tableFile = fileURLToPath(new URL('../../docs/bad-input.md', import.meta.url))

let cluster: TestCluster
let server: TestServer
let client: KvClient
let raw: Client
let rawKv: RawKv
beforeAll(async () => {
  cluster = await startServers(1, { http: true })
  server = cluster.servers[0]!
  client = makeClient([server.address])
  const options = { 'grpc.max_send_message_length': -1 }
  raw = new Client(server.address, credentials.createInsecure(), options)
  rawKv = new RawKv(server.address, credentials.createInsecure(), options)
  await client.put(keptKey, 'before')
})
afterAll(async () => {
  raw.close()
  rawKv.close()
  await client.close()
  await cluster[Symbol.asyncDispose]()
})

async function sdk({ call }: SdkCall): Promise<Refusal> {
  const error = await call(client).then(
    () => new Error('accepted'),
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof KvError)) throw error
  const { code, field, outcome } = error
  return { code, field, outcome }
}

const codeOfStatus = new Map<number, string>([
  [status.INVALID_ARGUMENT, 'invalid-argument'],
  [status.DEADLINE_EXCEEDED, 'timeout'],
])

async function grpc({ method, request, deadlineMs = 20_000 }: GrpcCall): Promise<Refusal> {
  const definition = { ...KvService, ...ClusterService }[method]
  const metadata = new Metadata()
  const options = { deadline: Date.now() + deadlineMs }
  const { path } = definition
  const serialize = definition.requestSerialize as (value: unknown) => Buffer
  const deserialize = definition.responseDeserialize as (bytes: Buffer) => unknown
  const error = await new Promise<ServiceError | null>((resolve) => {
    if (!definition.responseStream) {
      raw.makeUnaryRequest(path, serialize, deserialize, request, metadata, options, resolve)
      return
    }
    const stream: ClientReadableStream<unknown> = raw.makeServerStreamRequest(
      path,
      serialize,
      deserialize,
      request,
      metadata,
      options,
    )
    stream.on('error', (thrown) => resolve(thrown as ServiceError))
    stream.on('data', () => undefined).on('end', () => resolve(null))
  })
  if (error === null) throw new Error('accepted')
  const told = (name: string): string | undefined => error.metadata.get(name)[0]?.toString()
  return { code: codeOfStatus.get(error.code), field: told('kv-field'), outcome: told('kv-outcome') }
}

async function session({ operation, timeoutMs = 0 }: SessionOperation): Promise<Refusal> {
  const stream = rawKv.session()
  try {
    const response = await new Promise<SessionResponse>((resolve, reject) => {
      stream.on('error', reject)
      // The first message tells the clock only.
      stream.on('data', (message: SessionResponse) => {
        if (message.results.length > 0) resolve(message)
      })
      const operations = [{ id: 1, timeoutMs, request: operation, stampAboveMs: 0n, stampLimitMs: 0n, traceparent: '' }]
      const request: SessionRequest = { observedHlc: 0n, operations, cancelled: [] }
      stream.write(request)
    })
    const outcome = response.results[0]?.outcome
    if (outcome?.$case !== 'error') throw new Error('accepted')
    const error = outcome.value
    return {
      code: error.code === ErrorCode.INVALID_ARGUMENT ? 'invalid-argument' : String(error.code),
      field: error.field,
      outcome: error.writeOutcome === WriteOutcome.NOT_APPLIED ? 'not-applied' : undefined,
    }
  } finally {
    stream.end()
  }
}

async function rest({ method, path, headers = {}, body, status: expected = 400 }: RestRequest) {
  const response = await fetch(`${server.httpUrl}${path}`, { method, headers, ...(body === undefined ? {} : { body }) })
  const problem = (await response.json()) as Refusal
  expect(response.status).toBe(expected)
  expect(response.headers.get('content-type')).toBe('application/problem+json')
  return problem
}

async function cli({ argv }: CommandLine): Promise<Refusal> {
  const kv = startKv([server.address], ['--json', ...argv])
  const exit = await kv.end()
  expect([exit.status, kv.output, argv]).toEqual([2, '', argv])
  return (JSON.parse(kv.diagnostics) as { error: Refusal }).error
}

async function refusalAt(surface: Surface, input: BadInput): Promise<Refusal> {
  switch (surface) {
    case 'sdk':
      return await sdk(input.sdk!)
    case 'grpc':
      return await grpc(input.grpc!)
    case 'session':
      return await session(input.session!)
    case 'rest':
      return await rest(input.rest!)
    case 'cli':
      return await cli(input.cli!)
    default:
      return surface satisfies never
  }
}

/** What anything that was accepted by mistake would have changed. */
async function state(): Promise<unknown> {
  const entry = await client.getEntry(keptKey)
  const { epoch, members } = await client.topology()
  const keys: string[] = []
  for await (const { key } of client.scan({ keysOnly: true })) keys.push(key)
  return { value: entry?.text(), version: entry?.version.toString(), epoch, members: members.length, keys }
}

const surfaces = ['sdk', 'grpc', 'session', 'rest', 'cli'] as const
/** Refused writes say that they were; a call whose time is over before it is sent, its own library refuses. */
const owesOutcome = (surface: Surface, input: BadInput): boolean =>
  input.code === undefined &&
  ((surface === 'rest' && input.rest!.method !== 'GET') ||
    (surface === 'session' && input.session!.operation?.$case !== 'get') ||
    (surface === 'grpc' && /^(?:put|delete)$/.test(input.grpc!.method)))

describe.each(surfaces)('%s', (surface) => {
  const said = badInputs.filter((input) => input[surface] !== undefined)

  it(`refuses each of ${said.length} bad inputs by name, and changes nothing`, async () => {
    const before = await state()
    for (const input of said) {
      const { what, code = 'invalid-argument' } = input
      const refusal = await refusalAt(surface, input).catch((cause: unknown) => {
        throw new Error(`${surface}: ${what}: ${String(cause)}`, { cause })
      })
      const { field } = input[surface]!
      expect([what, refusal.code, refusal.field ?? '']).toEqual([what, code, field])
      if (owesOutcome(surface, input)) expect([what, refusal.outcome]).toEqual([what, 'not-applied'])
      expect([what, await state()]).toEqual([what, before])
    }
  })
})

const headings = ['SDK', 'gRPC', 'session', 'REST', '`kv`']

function row(input: BadInput): string {
  const cells = surfaces.map((surface) => {
    const said = input[surface]
    if (said === undefined) return '–'
    const name = said.field === '' ? `(${input.code})` : `\`${said.field}\``
    const answer = surface === 'rest' ? input.rest!.status : undefined
    return answer === undefined || answer === 400 ? name : `${name} ${answer}`
  })
  return `| ${input.what} | ${cells.join(' | ')} |`
}

const page = `# Bad input

What cannot be accepted is refused before anything is done for it, with the code \`invalid-argument\` and the name of what is
wrong as its caller has written it; nothing is changed. The SDK rejects with a \`KvError\`. gRPC answers \`INVALID_ARGUMENT\` with the
name in the trailer \`kv-field\`, a session in the \`Error\` of the operation. REST answers with a problem (RFC 9457) and status 400
unless the table says otherwise. \`kv\` ends with status 2, and tells \`code\` and \`field\` with \`--json\`. Refused writes say
\`not-applied\`.

"–" stands where it cannot be said: types and grammars forbid it, or there is no such parameter. A gRPC call without a
deadline, or with a later one than ten minutes from now, is no bad input: the node gives up by itself.

Each line is said to a running server by \`tests/e2e/bad-input.test.ts\`, which writes this page (\`KV_WRITE_TABLES=1\`).

| what is wrong | ${headings.join(' | ')} |
| --- | ${headings.map(() => '---').join(' | ')} |
${badInputs.map(row).join('\n')}
`

it('docs/bad-input.md has this table', () => {
  if (process.env['KV_WRITE_TABLES'] === '1') writeFileSync(tableFile, page)
  expect(readFileSync(tableFile, 'utf8')).toBe(page)
})

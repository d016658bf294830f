import { limits } from '@quorumkv/internal/base'

/** The name of a limit. */
export type LimitName = keyof typeof limits

/** A limit that somebody who calls a node can come to. */
export interface DoorLimit {
  readonly name: LimitName
  /** What it bounds, and what comes of it. */
  readonly holds: string
  /** The flag that sets it; without one it is fixed. */
  readonly flag?: string
  /** Where it is held, and the test that comes to it; undefined: there is none. */
  readonly code: string
  readonly test: string | undefined
}

/** The limits of one door, or of what is behind all of them. */
export interface Door {
  readonly title: string
  readonly limits: readonly DoorLimit[]
}

const guard = { code: 'server/src/limits/http2-guard.ts', test: 'server/src/limits/http2-guard.test.ts' }
const gate = { code: 'server/src/limits/connection-gate.ts', test: 'server/src/limits/connection-gate.test.ts' }
const slow = { code: 'server/src/limits/slow-peers.ts', test: 'server/src/limits/http2-guard.test.ts' }
const http = { code: 'server/src/http/http-host.ts', test: 'server/src/http/http-host.test.ts' }
const session = { code: 'server/src/session.ts', test: 'server/src/session.test.ts' }
const checks = { code: 'server/src/validation.ts', test: 'tests/e2e/bad-input.test.ts' }
const grpc = { code: 'server/src/grpc-options.ts', test: 'server/src/limits/http2-guard.test.ts' }

const untested = ({ code }: { readonly code: string }): { code: string; test: undefined } => ({ code, test: undefined })

/** What bounds whoever calls a node, door by door. */
export const doors: readonly Door[] = [
  {
    title: 'gRPC: clients and other nodes',
    limits: [
      {
        name: 'connectionsMax',
        flag: '--max-connections',
        holds: 'connections at a time; one more closes the one that has been idle for longest, or is closed',
        ...gate,
      },
      {
        name: 'connectionsPerAddressMax',
        flag: '--max-connections-per-address',
        holds: 'connections from one address; one more is closed',
        ...gate,
      },
      { name: 'connectionIdleMs', holds: 'time without a call on a connection; then it is closed', ...untested(grpc) },
      { name: 'keepaliveTimeMs', holds: 'time until the other end of a quiet connection is asked', ...untested(grpc) },
      { name: 'keepaliveTimeoutMs', holds: 'time for its answer; then the connection is closed', ...untested(grpc) },
      { name: 'connectionStreamsMax', holds: 'calls at a time on one connection; more wait or are refused', ...guard },
      {
        name: 'callHeaderBytesMax',
        holds: 'headers of a call, as HTTP/2 counts them; with one byte more it is `RESOURCE_EXHAUSTED`',
        ...guard,
      },
      {
        name: 'messageBytesMax',
        holds: 'one message, and 64 KiB around it; `RESOURCE_EXHAUSTED` by its length alone',
        ...guard,
      },
      {
        name: 'receivedBytesMax',
        holds: 'messages that are not complete, of all calls; the call that brings more is reset',
        ...untested(guard),
      },
      {
        name: 'messageMsMax',
        holds: 'time until a message that was begun is complete; then its call is reset',
        ...untested(slow),
      },
      {
        name: 'readerStallMs',
        holds: 'time in which a reader takes nothing of what waits for it; then it is cut off',
        ...slow,
      },
      {
        name: 'sessionsMax',
        holds: 'sessions at a time; more are `overloaded`',
        code: 'server/src/session-service.ts',
        test: undefined,
      },
      { name: 'sessionOpsMax', holds: 'operations in flight of one session; more are `overloaded`', ...session },
      {
        name: 'sessionResultBytesMax',
        holds: 'results of one session that wait for their reader; values beyond are withheld',
        ...session,
      },
      {
        name: 'scansMax',
        holds: 'scans at a time; more are `overloaded`',
        code: 'server/src/scan-call.ts',
        test: undefined,
      },
      {
        name: 'backupCallsMax',
        holds: 'calls of backups at a time; more are `overloaded`',
        code: 'server/src/backup-calls.ts',
        test: 'server/src/backup-calls.test.ts',
      },
      {
        name: 'linksProvingMax',
        holds: 'links of nodes that have not proved who they are',
        code: 'server/src/grpc-network.ts',
        test: 'server/src/tls/links.test.ts',
      },
    ],
  },
  {
    title: 'HTTP',
    limits: [
      { name: 'httpConnectionsMax', holds: 'connections at a time; one more is closed', ...http },
      { name: 'httpConnectionsPerAddressMax', holds: 'connections from one address; one more is closed', ...gate },
      { name: 'httpHeaderBytesMax', holds: 'request line and headers; beyond: 431', ...http },
      { name: 'httpHeadersTimeoutMs', holds: 'time for the headers to come; then 408', ...http },
      { name: 'httpRequestTimeoutMs', holds: 'time for all of a request to come; then 408', ...http },
      { name: 'httpKeepAliveMs', holds: 'time between two requests on a connection', ...http },
      {
        name: 'httpJsonBytesMax',
        holds: 'a body of JSON; beyond: 413',
        code: 'server/src/http/request-body.ts',
        test: 'server/src/http/bad-input.test.ts',
      },
      {
        name: 'httpBodiesBytesMax',
        holds: 'bodies that are on their way, of all requests; beyond: 429',
        code: 'server/src/http/byte-budget.ts',
        test: 'server/src/http/byte-budget.test.ts',
      },
      {
        name: 'feedStreamsMax',
        holds: 'pages that look at a node; more are `overloaded`',
        code: 'server/src/feed/feed.ts',
        test: 'server/src/feed/feed.test.ts',
      },
    ],
  },
  {
    title: 'What is asked, at every door',
    limits: [
      { name: 'keyBytesMax', holds: 'a key, of 1 byte at least', ...checks },
      { name: 'valueBytesMax', holds: 'a value', ...checks },
      { name: 'ttlMsMax', holds: 'the time to live of a value', ...checks },
      { name: 'requestTimeoutMsMax', holds: 'the time that a caller may give', ...checks },
      { name: 'scanPageEntriesMax', holds: 'entries of a page of a scan', ...checks },
      {
        name: 'coordinatedOpsMax',
        holds: 'operations that one node works on; more are `overloaded`',
        code: 'internal/replication/coordinator.ts',
        test: 'internal/replication/coordinator.test.ts',
      },
      {
        name: 'coordinatedBytesMax',
        holds: 'bytes that they hold; more are `overloaded`',
        code: 'internal/replication/coordinator.ts',
        test: 'internal/replication/coordinator.test.ts',
      },
    ],
  },
]

/** What a limit is, in its unit. */
export function limitText(name: LimitName): string {
  const value = limits[name]
  if (name.includes('Ms')) return value % 1_000 === 0 ? `${(value / 1_000).toLocaleString('en')} s` : `${value} ms`
  const text = value.toLocaleString('en')
  return name.includes('Bytes') ? `${text} bytes` : text
}

/** What `kv-server limits` prints. */
export function limitsText(): string {
  const blocks = doors.map(({ title, limits: those }) => {
    const lines = those.map(({ name, holds, flag }) => {
      const set = flag === undefined ? '' : ` (${flag})`
      return `  ${name.padEnd(29)} ${limitText(name).padStart(19)}  ${holds.replaceAll('`', '')}${set}`
    })
    return `${title}\n${lines.join('\n')}\n`
  })
  return `${blocks.join('\n')}\nPer principal and node: --rate-limit, --byte-rate-limit, or its entry in --auth-file.\n`
}

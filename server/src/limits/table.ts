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
  /** Where it is held, and the test that comes to it. */
  readonly code: string
  readonly test: string
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
const session = { code: 'server/src/session/session.ts', test: 'server/src/session/session.test.ts' }
const checks = { code: 'server/src/calls/validation.ts', test: 'server/src/calls/validation.test.ts' }
const grpc = { code: 'server/src/grpc/grpc-options.ts', test: 'server/src/limits/http2-guard.test.ts' }

const health = { code: 'server/src/grpc/health.ts', test: 'server/src/grpc/health.test.ts' }
const proving = { code: 'server/src/limits/address-places.ts', test: 'server/src/tls/links.test.ts' }

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
      { name: 'connectionIdleMs', holds: 'time without a call on a connection; then it is closed', ...grpc },
      { name: 'keepaliveTimeMs', holds: 'time until the other end of a quiet connection is asked', ...grpc },
      { name: 'keepaliveTimeoutMs', holds: 'time for its answer; then the connection is closed', ...grpc },
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
        holds:
          'messages that are not complete, of all calls; with more, of the address with most the call is reset that has been at one for longest',
        ...guard,
      },
      {
        name: 'messageMsMax',
        holds: 'time until a message that was begun is complete; then its call is reset',
        ...slow,
      },
      {
        name: 'readerStallMs',
        holds: 'time in which a reader takes all that waits for it at one time; then it is cut off',
        ...slow,
      },
      {
        name: 'cutGraceMs',
        holds: 'time until a call that was reset has ended; then its connection is closed',
        ...slow,
      },
      {
        name: 'answerBytesMax',
        holds:
          'answers that clients have not taken, of all calls; with more, of the address with most the connections are closed whose answers have waited for longest',
        code: 'server/src/limits/answer-bytes.ts',
        test: guard.test,
      },
      {
        name: 'answerTurnBytesMax',
        holds:
          'answers made in one turn of the event loop; with so many, calls that read wait, and addresses take turns',
        code: 'server/src/limits/answer-turns.ts',
        test: 'server/src/limits/answer-turns.test.ts',
      },
      {
        name: 'sessionsMax',
        holds: 'sessions at a time; one more closes the one that has asked nothing for longest, or is `overloaded`',
        code: 'server/src/session/session-service.ts',
        test: 'server/src/limits/calls.test.ts',
      },
      { name: 'sessionOpsMax', holds: 'operations in flight of one session; more are `overloaded`', ...session },
      {
        name: 'sessionResultBytesMax',
        holds: 'results of one session that wait for their reader; values beyond are withheld',
        ...session,
      },
      {
        name: 'resultBytesMax',
        holds: 'those of all sessions, also of those that have ended; values beyond are withheld',
        code: 'server/src/session/result-budget.ts',
        test: 'server/src/session/result-budget.test.ts',
      },
      {
        name: 'healthWatchersMax',
        holds: 'callers who watch the health; one more ends the oldest of the address with most',
        ...health,
      },
      {
        name: 'healthWatchersPerAddressMax',
        holds: 'those from one address; one more ends its oldest',
        ...health,
      },
      {
        name: 'scansMax',
        holds: 'scans at a time; more are `overloaded`',
        code: 'server/src/calls/scan-call.ts',
        test: 'server/src/limits/calls.test.ts',
      },
      {
        name: 'backupCallsMax',
        holds: 'calls of backups at a time; more are `overloaded`',
        code: 'server/src/calls/backup-calls.ts',
        test: 'server/src/calls/backup-calls.test.ts',
      },
      {
        name: 'linksProvingMax',
        holds: 'links of nodes that have not proved who they are; one more ends the oldest of the address with most',
        ...proving,
      },
      { name: 'linksProvingPerAddressMax', holds: 'those from one address; one more ends its oldest', ...proving },
    ],
  },
  {
    title: 'HTTP',
    limits: [
      {
        name: 'httpConnectionsMax',
        holds: 'connections at a time; one more closes the one that has been idle for longest, or is closed',
        ...http,
      },
      { name: 'httpConnectionsPerAddressMax', holds: 'connections from one address; one more is closed', ...gate },
      {
        name: 'httpPipelinedMax',
        holds: 'requests of one connection that wait for their answers; one more closes it',
        code: 'server/src/http/pipelines.ts',
        test: http.test,
      },
      {
        name: 'httpHeaderBytesMax',
        holds: 'bytes of the URL, and of names and values of headers; with so many: 431',
        ...http,
      },
      { name: 'httpHeadersTimeoutMs', holds: 'time for the headers to come; then 408', ...http },
      { name: 'httpRequestTimeoutMs', holds: 'time for all of a request to come; then 408', ...http },
      { name: 'httpKeepAliveMs', holds: 'time between two requests on a connection; then it is closed', ...http },
      {
        name: 'httpSilenceMsMax',
        holds: 'time in which nothing goes either way while a request is worked on; then it is closed',
        ...http,
      },
      { name: 'readerStallMs', holds: 'as of gRPC, of what waits on a connection; then it is cut off', ...http },
      {
        name: 'httpJsonBytesMax',
        holds: 'a body of JSON; beyond: 413',
        code: 'server/src/http/request-body.ts',
        test: 'server/src/http/request-body.test.ts',
      },
      {
        name: 'httpBodiesBytesMax',
        holds:
          'bodies that are on their way, of all requests; beyond, of the address with most, whoever has let its answers wait, or its body, for longest is cut off; 429 for callers from there',
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
        code: 'internal/replication/operations/coordinator.ts',
        test: 'internal/replication/operations/coordinator.test.ts',
      },
      {
        name: 'coordinatedBytesMax',
        holds: 'bytes that they hold; more are `overloaded`',
        code: 'internal/replication/operations/coordinator.ts',
        test: 'internal/replication/operations/coordinator.test.ts',
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

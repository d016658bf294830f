import { credentials, type ServiceError } from '@grpc/grpc-js'
import { LatencyHistogram } from '@quorumkv/internal/base'
import type { Node } from '@quorumkv/internal/cluster'
import { type Clock, type Log, silentLog } from '@quorumkv/internal/env'
import { ClusterClient, ClusterService } from '@quorumkv/proto/kv/v1/cluster'
import { KvClient } from '@quorumkv/proto/kv/v1/kv'
import { AccessControl } from '../access/access-control.js'
import { GrpcHost } from '../grpc/grpc-host.js'
import { Health } from '../grpc/health.js'
import { SessionService } from '../session/session-service.js'
import { clusterService } from './cluster-service.js'
import { FakeNode } from './fake-node.test-support.js'
import { kvDefinition } from './kv-definition.js'
import { kvService } from './kv-service.js'
import type { CallCounts, ServiceContext } from './service-context.js'

/** The real clock, as far as the services use it. */
export const testClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimer: (delayMs, fire) => {
    const timer = setTimeout(fire, delayMs)
    return { cancel: () => clearTimeout(timer) }
  },
  defer: (fire) => void setImmediate(fire),
}

/** Of a node that asks nobody who they are. */
export const openAccess: AccessControl = new AccessControl({
  clock: testClock,
  log: silentLog,
  audit: () => undefined,
  node: () => undefined,
  file: undefined,
})

const eventLoopDelay = new LatencyHistogram()

/** A process that uses as much of everything as is easy to recognise. */
export const testMeter: ServiceContext['meter'] = {
  eventLoopDelay,
  read: () => ({
    ...{ rssBytes: 100, heapUsedBytes: 50, heapTotalBytes: 60, externalBytes: 7, cpuSeconds: 12, cpu: 0.25, gcMs: 3 },
    eventLoopDelay: eventLoopDelay.summary(0),
  }),
}

export interface LogLine {
  readonly level: string
  readonly message: string
  readonly facts: Readonly<Record<string, unknown>>
}

export function recordingLog(lines: LogLine[]): Log {
  const at =
    (level: string) =>
    (message: string, facts: Readonly<Record<string, unknown>> = {}): void => {
      lines.push({ level, message, facts })
    }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

export interface TestServices extends AsyncDisposable {
  readonly host: GrpcHost
  readonly address: string
  readonly kv: KvClient
  readonly cluster: ClusterClient
  readonly sessions: SessionService
  readonly health: Health
  readonly lines: LogLine[]
  /** What the services took for bugs. */
  readonly bugs: unknown[]
}

/** The services over a fake node, or none yet, on a real port, and clients for them. */
export async function startServices(
  fake: FakeNode | 'starting' = new FakeNode(),
  accessOf: (node: () => Node | undefined, log: Log) => AccessControl = () => openAccess,
  tuning: ConstructorParameters<typeof GrpcHost>[4] = {},
): Promise<TestServices> {
  const node = fake === 'starting' ? undefined : fake
  const lines: LogLine[] = []
  const bugs: unknown[] = []
  const log = recordingLog(lines)
  const access = accessOf(() => node, log)
  const host = new GrpcHost(log, (error) => bugs.push(error), access, undefined, tuning)
  const draining = (): void => {
    health.set(false)
    sessions.drain()
  }
  const scans = { running: 0 }
  const calls = (): CallCounts => ({ streams: sessions.size + scans.running, sessions: sessions.size })
  const onBug = (error: unknown): void => void bugs.push(error)
  const context: ServiceContext = {
    clock: testClock,
    log,
    access,
    meter: testMeter,
    traffic: host.traffic,
    answersAreFull: () => host.guard.answersAreFull,
    readers: host.guard.peers,
    turns: host.guard.turns,
    scans,
    calls,
    node: () => node,
    draining,
    onBug,
  }
  const sessions = new SessionService(context)
  host.addService(kvDefinition, kvService(context, sessions))
  host.addService(ClusterService, clusterService(context))
  const health = new Health(host.server)
  const [address] = await host.bind([{ host: '127.0.0.1', port: 0, optional: false }])
  const large = { 'grpc.max_send_message_length': -1, 'grpc.max_receive_message_length': -1 }
  const kv = new KvClient(address!, credentials.createInsecure(), large)
  const cluster = new ClusterClient(address!, credentials.createInsecure())
  return {
    host,
    address: address!,
    kv,
    cluster,
    sessions,
    health,
    lines,
    bugs,
    [Symbol.asyncDispose]: async () => {
      kv.close()
      cluster.close()
      access.stop()
      await host.stop(100)
    },
  }
}

/** The reply to a unary call, or its error. */
export function reply<Response>(
  call: (callback: (error: ServiceError | null, response: Response) => void) => unknown,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    call((error, response) => (error === null ? resolve(response) : reject(error)))
  })
}

/** Waits until `holds`, for at most twenty seconds: longer than a machine that is busy with others needs. */
export async function eventually(what: string, holds: () => boolean): Promise<void> {
  const endMs = performance.now() + 20_000
  while (!holds()) {
    if (performance.now() > endMs) throw new Error(`not in 20 s: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

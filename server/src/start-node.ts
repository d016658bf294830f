import { hostname } from 'node:os'
import { type Address, AssertionError, Instruments } from '@quorumkv/internal/base'
import { type Node, startCoreNode } from '@quorumkv/internal/cluster'
import { type Log, silentLog } from '@quorumkv/internal/env'
import { NodeClock, NodeRandom } from '@quorumkv/internal/env-node'
import { ClusterService } from '@quorumkv/proto/kv/v1/cluster'
import { AccessControl } from './access/access-control.js'
import { openAudit } from './access/audit.js'
import type { AuthFile } from './access/auth-file.js'
import { CallerProof } from './access/caller-proof.js'
import { clusterService } from './calls/cluster-service.js'
import { kvDefinition } from './calls/kv-definition.js'
import { kvService } from './calls/kv-service.js'
import type { CallCounts, ServiceContext } from './calls/service-context.js'
import { isDecommissioned } from './commands/exit.js'
import { formatAddress, isWildcard, splitAddress } from './config/addresses.js'
import { type NodeConfig, type NodeSettings, programSource, resolveConfig } from './config/config.js'
import { ProcessMeter } from './figures/process-meter.js'
import { SlowLog } from './figures/slow-log.js'
import { GrpcHost } from './grpc/grpc-host.js'
import { Health } from './grpc/health.js'
import { type ConfiguredNode, HostedNode, type RunningNode } from './hosted-node.js'
import type { HttpHost } from './http/http-host.js'
import type { HttpParts } from './http/http-parts.js'
import type { DoorReading } from './limits/door-reading.js'
import { type Machine, type OpenDisk, thisMachine } from './machine.js'
import { SessionService } from './session/session-service.js'
import { type NodeSecurity, openSecurity, warnOfName } from './tls/node-security.js'
import type { ServerTls } from './tls/server-credentials.js'
import { NodeTraces } from './tracing/node-traces.js'

/** What connections get to take the last replies; a client that watches the node's health would stay for ever. */
const connectionGraceMs = 2_000

/** What `startNode` takes: the settings of `kv-server`, under the names of its flags in camel case. */
export interface StartNodeOptions extends NodeSettings {
  /** Where it tells what happens. Nowhere unless given. */
  readonly log?: Log | undefined
  /**
   * The node must not go on: its disk failed, the cluster refuses it, or its own code is wrong. It acknowledges nothing
   * any more. Unless given, the error is thrown where nothing catches it, so that the process ends; only a node that was
   * decommissioned (`reason` of the FatalError) is stopped instead.
   */
  readonly onFatal?: ((error: Error) => void) | undefined
}

function throwUncaught(error: Error): void {
  setImmediate(() => {
    throw error
  })
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new AssertionError(String(error))
}

function advertisedAddress(config: NodeConfig, bound: readonly string[], log: Log): Address {
  if (config.advertise !== undefined) return config.advertise
  const { host, port } = splitAddress(bound[0]!)
  if (!isWildcard(host)) return bound[0] as Address
  const address = formatAddress(hostname(), port) as Address
  log.info('--addr names every interface and --advertise is not given: the host name is advertised', { address })
  return address
}

/** Under what names HTTP requests may ask for a node: see `guard`. */
function ownHostNames(config: NodeConfig, address: Address): readonly string[] {
  const listening = [...config.addr, ...(config.httpAddr ?? [])].map(({ host }) => host)
  const names = [hostname(), splitAddress(address).host, ...listening, ...config.httpAllowHost]
  return names.map((name) => name.toLowerCase())
}

/** Puts a node together from a checked configuration, and starts it. Rejects with FatalError, KvError or DiskError. */
export async function startConfiguredNode(
  config: NodeConfig,
  log: Log,
  onFatal: (error: Error) => void,
  machine: Machine = thisMachine(config),
): Promise<ConfiguredNode> {
  const disk = await machine.openDisk()
  try {
    return await startOnDisk(config, log, onFatal, machine, disk)
  } catch (error) {
    disk.close()
    throw error
  }
}

async function startOnDisk(
  config: NodeConfig,
  log: Log,
  onFatal: (error: Error) => void,
  machine: Machine,
  disk: OpenDisk,
): Promise<ConfiguredNode> {
  const authFile = config.authFile === undefined ? undefined : await openAuthFile(config.authFile)
  const node: { core: Node | undefined } = { core: undefined }
  const security = await openSecurity(config, { disk: disk.disk, clock: machine.clock, log, node: () => node.core })
  const opened = new Opened()
  opened.add(() => security.close())
  try {
    return await startSecured({ config, log, onFatal, machine, disk, authFile, node, security, opened })
  } catch (error) {
    await opened.close()
    throw error
  }
}

/*
 * Each start pays for what it loads, so what a node may do without is loaded when it is asked for: the reader of files, and
 * all that speaks HTTP, are a third of everything.
 */

async function openAuthFile(path: string): Promise<AuthFile> {
  const { AuthFile } = await import('./access/auth-file.js')
  return new AuthFile(path)
}

async function openHttp(
  { replaceAfter, metricsOpen }: NodeConfig,
  parts: Pick<HttpParts, 'services' | 'hostNames' | 'stopping'>,
  { log, fail, tls }: { log: Log; fail: (error: unknown) => void; tls: ServerTls | undefined },
): Promise<HttpHost> {
  const { createHttpApp } = await import('./http/http-app.js')
  const { HttpHost } = await import('./http/http-host.js')
  const { nodeFeed } = await import('./feed/node-feed.js')
  const feed = nodeFeed(parts.services, replaceAfter)
  return new HttpHost(createHttpApp({ ...parts, feed, metricsOpen }), log, fail, { tls })
}

/** What a start that fails closes again, the latest first. */
class Opened {
  readonly #closers: (() => unknown)[] = []

  add(close: () => unknown): void {
    this.#closers.push(close)
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close()
  }
}

interface Secured {
  readonly config: NodeConfig
  readonly log: Log
  readonly onFatal: (error: Error) => void
  readonly machine: Machine
  readonly disk: OpenDisk
  readonly authFile: AuthFile | undefined
  /** `core` is there once it has been started. */
  readonly node: { core: Node | undefined }
  readonly security: NodeSecurity
  /** Takes what is opened on the way. */
  readonly opened: Opened
}

async function startSecured(parts: Secured): Promise<ConfiguredNode> {
  const { config, log, machine, disk, node, security, opened } = parts
  let failed = false
  const fail = (error: unknown): void => {
    if (failed) return
    failed = true
    parts.onFatal(asError(error))
  }
  const { clock } = machine
  const audit = openAudit(log, () => clock.wallMs())
  const { certificates, tls } = security
  const { secret } = security.trust
  const proof = secret === undefined ? undefined : new CallerProof(secret, clock)
  const rates = { operationsPerSecond: config.rateLimit, bytesPerSecond: config.byteRateLimit }
  const access = new AccessControl({ rates, clock, log, audit, node: () => node.core, file: parts.authFile, proof })
  opened.add(() => access.stop())
  const host = new GrpcHost(log, fail, access, security, {
    connectionsMax: config.maxConnections,
    perAddressMax: config.maxConnectionsPerAddress,
  })
  opened.add(() => host.stop(0))
  const draining = (): void => {
    health.set(false)
    sessions.drain()
  }
  const meter = new ProcessMeter(new NodeClock())
  opened.add(() => meter.stop())
  const scans = { running: 0 }
  const calls = (): CallCounts => ({ streams: sessions.size + scans.running, sessions: sessions.size })
  const { traffic } = host
  const reachable = (): Node | undefined => (machine.reachable() ? node.core : undefined)
  let http: HttpHost | undefined
  const doors = (): readonly DoorReading[] => (http === undefined ? [host.read()] : [host.read(), http.read()])
  const answersAreFull = (): boolean => host.guard.answersAreFull
  const { peers: readers, turns } = host.guard
  const counted = { meter, traffic, readers, scans, calls, doors, answersAreFull, turns }
  const context: ServiceContext = {
    clock,
    log,
    access,
    certificates,
    ...counted,
    node: reachable,
    draining,
    onBug: fail,
  }
  const slow = new SlowLog({ clock, log, node: () => node.core, thresholdMs: config.slowMs })
  const traces = new NodeTraces(clock, () => node.core?.id ?? '')
  const sessions = new SessionService(context)
  host.addService(kvDefinition, kvService(context, sessions))
  host.addService(ClusterService, clusterService(context))
  const health = new Health(host.server)
  if (config.reflection) (await import('./grpc/reflection.js')).addReflection(host.server)
  const stopping = new AbortController()
  opened.add(() => stopping.abort())
  const hostNames: string[] = []
  if (config.httpAddr !== undefined) {
    const app = { services: context, hostNames: () => hostNames, stopping: stopping.signal }
    http = await openHttp(config, app, { log, fail, tls })
  }
  opened.add(() => http?.stop(0))
  const bound = { grpc: await host.bind(config.addr), http: (await http?.bind(config.httpAddr ?? [])) ?? [] }
  const address = advertisedAddress(config, bound.grpc, log)
  hostNames.push(...ownHostNames(config, address))
  warnOfName(certificates, splitAddress(address).host, log)
  const started = await startCore(config, {
    machine,
    disk,
    host,
    log,
    slow,
    traces,
    security,
    listenAddress: bound.grpc[0]!,
    address,
    fail,
  })
  node.core = started
  const ready = started.ready().then(() => health.set(started.members?.draining !== true))
  // Whoever does not wait for it is not to be ended by its rejection.
  ready.catch(() => undefined)
  const release = async (graceMs: number): Promise<void> => {
    await Promise.all([host.stop(graceMs), http?.stop(graceMs)])
    meter.stop()
    access.stop()
    security.close()
    disk.close()
  }
  const shutDown = async (graceMs: number): Promise<void> => {
    health.set(false)
    stopping.abort()
    try {
      await started.stop(graceMs)
    } finally {
      sessions.close('the node stops')
      await release(Math.min(graceMs, connectionGraceMs))
    }
  }
  const cutOff = async (): Promise<void> => {
    const released = release(0)
    stopping.abort()
    sessions.close('the node is gone')
    await released
  }
  return new HostedNode(started, address, bound, ready, {
    reload: () => security.reload(),
    shutDown,
    cutOff,
    hangUp: () => sessions.hangUp('the way to this node was cut'),
  })
}

interface CoreParts {
  readonly machine: Machine
  readonly disk: OpenDisk
  readonly host: GrpcHost
  readonly log: Log
  readonly slow: SlowLog
  readonly traces: NodeTraces
  readonly security: NodeSecurity
  readonly listenAddress: string
  readonly address: Address
  readonly fail: (error: unknown) => void
}

async function startCore(config: NodeConfig, parts: CoreParts): Promise<Node> {
  const { clock, network, peers } = parts.machine
  return await startCoreNode({
    clock,
    random: new NodeRandom(),
    disk: parts.disk.disk,
    network: network(parts.host.network),
    log: parts.log,
    instruments: new Instruments(() => clock.wallMs(), parts.slow, parts.traces),
    id: parts.security.id ?? config.id,
    clusterId: parts.security.clusterId,
    listenAddress: parts.listenAddress as Address,
    advertiseAddress: parts.address,
    peers: await peers(parts.address),
    replication: config.replication,
    virtualNodes: config.virtualNodes,
    zone: config.zone,
    weight: config.weight,
    maxClockDriftMs: config.maxClockDrift,
    probeIntervalMs: config.probeIntervalMs,
    probeTimeoutMs: config.probeTimeoutMs,
    suspicionMult: config.suspicionMult,
    gossipIntervalMs: config.gossipIntervalMs,
    gossipFanout: config.gossipFanout,
    replaceAfterMs: config.replaceAfter,
    fsync: config.fsync,
    fsyncIntervalMs: config.fsyncIntervalMs,
    snapshotIntervalMs: config.snapshotInterval,
    snapshotWalBytes: config.snapshotWalBytes,
    streamBytesPerSecond: config.streamRate,
    authenticates: config.authFile !== undefined,
    onFatal: parts.fail,
  })
}

/**
 * Starts a node inside this process. Settings are those of `kv-server`, with the same defaults; neither the environment
 * nor a file is read. Resolves when it listens; see `ready` for when it serves.
 *
 * Rejects with KvError `invalid-argument` that names the setting, with FatalError where the data directory or the
 * address cannot be had (`reason` says which), and with DiskError.
 */
export async function startNode(options: StartNodeOptions = {}): Promise<RunningNode> {
  const { log = silentLog, onFatal = stopOrThrow, ...given } = options
  const starting = startConfiguredNode(resolveConfig([programSource(given)]), log, (error) => onFatal(error))
  return starting

  function stopOrThrow(error: Error): void {
    if (!isDecommissioned(error)) throwUncaught(error)
    else void starting.then((node) => node.stop())
  }
}

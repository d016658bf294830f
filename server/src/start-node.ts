import { hostname } from 'node:os'
import { type Address, AssertionError, type ClusterId, Instruments, limits, type NodeId } from '@quorumkv/internal/base'
import { type Node, type NodeStatus, startCoreNode } from '@quorumkv/internal/cluster'
import { type Log, silentLog } from '@quorumkv/internal/env'
import { NodeClock, NodeRandom } from '@quorumkv/internal/env-node'
import { ClusterService } from '@quorumkv/proto/kv/v1/cluster'
import { AccessControl } from './access/access-control.js'
import { openAudit } from './access/audit.js'
import { AuthFile } from './access/auth-file.js'
import { CallerProof } from './access/caller-proof.js'
import { formatAddress, isWildcard, splitAddress } from './addresses.js'
import { clusterService } from './cluster-service.js'
import { type NodeConfig, type NodeSettings, programSource, resolveConfig } from './config.js'
import { isDecommissioned } from './exit.js'
import { nodeFeed } from './feed/node-feed.js'
import { ProcessMeter } from './figures/process-meter.js'
import { SlowLog } from './figures/slow-log.js'
import { GrpcHost } from './grpc-host.js'
import { Health } from './health.js'
import { createHttpApp } from './http/http-app.js'
import { HttpHost } from './http/http-host.js'
import { kvDefinition } from './kv-definition.js'
import { kvService } from './kv-service.js'
import { type Machine, type OpenDisk, thisMachine } from './machine.js'
import { addReflection } from './reflection.js'
import type { CallCounts, ServiceContext } from './service-context.js'
import { SessionService } from './session-service.js'
import { type NodeSecurity, openSecurity, warnOfName } from './tls/node-security.js'
import { NodeTraces } from './tracing/node-traces.js'

/** What connections get to take the last replies; a client that watches the node's health would stay for ever. */
const connectionGraceMs = 2_000

/** A node with its gRPC server. */
export interface RunningNode extends AsyncDisposable {
  readonly id: NodeId
  /** Where clients and other nodes are told to reach it. */
  readonly address: Address
  /** Where it listens. */
  readonly addresses: readonly string[]
  /** Where it listens for HTTP; empty: nowhere. */
  readonly httpAddresses: readonly string[]
  /** Undefined until it belongs to a cluster, at the latest when `ready` resolves. */
  readonly clusterId: ClusterId | undefined
  /**
   * Resolves when it serves requests, which may take until the nodes named as peers are there. Rejects when it is
   * stopped before, or must end.
   */
  readonly ready: Promise<void>
  status(): NodeStatus
  /**
   * Reads certificates again, which it does by itself when their files change. What is no good is logged, and what was in use
   * before stays.
   */
  reload(): Promise<void>
  /**
   * Takes no more requests, lets those that run finish (at most `graceMs`, 10 s unless given), closes the log, and
   * gives the data directory free. Idempotent.
   */
  stop(graceMs?: number): Promise<void>
}

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

/** A node as the modules of this package have it. */
export interface ConfiguredNode extends RunningNode {
  /** What is behind the servers. */
  readonly core: Node
  /**
   * Closes its sockets and servers at once, without a word to anyone, and leaves the rest of it where it is: for whoever
   * has seen to it that nothing of it moves any more. Instead of `stop`.
   */
  cutOff(): Promise<void>
  /** Ends the sessions of all clients. */
  hangUp(): void
}

/** What is done to a node: the ways in which it ends, and what it does again. */
interface Handles {
  readonly reload: () => Promise<void>
  readonly shutDown: (graceMs: number) => Promise<void>
  readonly cutOff: () => Promise<void>
  readonly hangUp: () => void
}

/** The parts of a node, put together in the one place where that is done. */
class HostedNode implements ConfiguredNode {
  readonly id: NodeId
  readonly address: Address
  readonly addresses: readonly string[]
  readonly httpAddresses: readonly string[]
  readonly ready: Promise<void>
  readonly core: Node
  readonly #handles: Handles
  #stopping: Promise<void> | undefined

  constructor(
    core: Node,
    address: Address,
    bound: { readonly grpc: readonly string[]; readonly http: readonly string[] },
    ready: Promise<void>,
    handles: Handles,
  ) {
    this.id = core.id
    this.address = address
    this.addresses = bound.grpc
    this.httpAddresses = bound.http
    this.ready = ready
    this.core = core
    this.#handles = handles
  }

  get clusterId(): ClusterId | undefined {
    return this.core.status().clusterId
  }

  status(): NodeStatus {
    return this.core.status()
  }

  reload(): Promise<void> {
    return this.#handles.reload()
  }

  stop(graceMs: number = limits.shutdownGraceMs): Promise<void> {
    this.#stopping ??= this.#handles.shutDown(graceMs)
    return this.#stopping
  }

  cutOff(): Promise<void> {
    this.#stopping ??= this.#handles.cutOff()
    return this.#stopping
  }

  hangUp(): void {
    this.#handles.hangUp()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
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
  const authFile = config.authFile === undefined ? undefined : new AuthFile(config.authFile)
  let failed = false
  const fail = (error: unknown): void => {
    if (failed) return
    failed = true
    onFatal(asError(error))
  }
  const { clock } = machine
  let core: Node | undefined
  const security = await openSecurity(config, { disk: disk.disk, clock, log, node: () => core })
  const audit = openAudit(log, () => clock.wallMs())
  const { certificates, tls } = security
  const { secret } = security.trust
  const proof = secret === undefined ? undefined : new CallerProof(secret, clock)
  const rates = { operationsPerSecond: config.rateLimit, bytesPerSecond: config.byteRateLimit }
  const access = new AccessControl({ rates, clock, log, audit, node: () => core, file: authFile, proof })
  const host = new GrpcHost(log, fail, access, security, {
    connectionsMax: config.maxConnections,
    perAddressMax: config.maxConnectionsPerAddress,
  })
  const draining = (): void => {
    health.set(false)
    sessions.drain()
  }
  const meter = new ProcessMeter(new NodeClock())
  const scans = { running: 0 }
  const calls = (): CallCounts => ({ streams: sessions.size + scans.running, sessions: sessions.size })
  const { traffic } = host
  const reachable = (): Node | undefined => (machine.reachable() ? core : undefined)
  const counted = { meter, traffic, scans, calls }
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
  const slow = new SlowLog({ clock, log, node: () => core, thresholdMs: config.slowMs })
  const traces = new NodeTraces(clock, () => core?.id ?? '')
  const sessions = new SessionService(context)
  host.addService(kvDefinition, kvService(context, sessions))
  host.addService(ClusterService, clusterService(context))
  const health = new Health(host.server)
  if (config.reflection) addReflection(host.server)
  const stopping = new AbortController()
  const hostNames: string[] = []
  const app = createHttpApp({
    services: context,
    hostNames: () => hostNames,
    stopping: stopping.signal,
    feed: nodeFeed(context, config.replaceAfter),
    metricsOpen: config.metricsOpen,
  })
  const http = new HttpHost(app, log, fail, { tls })
  try {
    const bound = { grpc: await host.bind(config.addr), http: await http.bind(config.httpAddr ?? []) }
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
    core = started
    const ready = started.ready().then(() => health.set(started.members?.draining !== true))
    // Whoever does not wait for it is not to be ended by its rejection.
    ready.catch(() => undefined)
    const release = async (graceMs: number): Promise<void> => {
      await Promise.all([host.stop(graceMs), http.stop(graceMs)])
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
  } catch (error) {
    await Promise.all([host.stop(0), http.stop(0)])
    meter.stop()
    access.stop()
    security.close()
    throw error
  }
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

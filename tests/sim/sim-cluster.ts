import { type Address, Instruments, parseAddress, parseNodeId, type Slot } from '@quorumkv/internal/base'
import { type Node, type NodeOptions, startCoreNode } from '@quorumkv/internal/cluster'
import { type Disk, type Log, type Network, silentLog } from '@quorumkv/internal/env'
import { type CrashOptions, type SimProcess, SimWorld, type SimWorldOptions } from '@quorumkv/internal/env-sim'
import type { StoredRecord } from '@quorumkv/internal/record'
import type { Consistency, WriteResult } from '@quorumkv/internal/replication'
import { slotCount } from '@quorumkv/internal/slots'
import { writeLostSlots } from '@quorumkv/internal/store'

export interface SimClusterOptions extends SimWorldOptions {
  readonly nodes?: number
  readonly replication?: NodeOptions['replication']
  readonly maxClockDriftMs?: number
  readonly snapshotIntervalMs?: number
  readonly snapshotWalBytes?: number
  readonly streamBytesPerSecond?: number
  /** Default ten minutes. */
  readonly replaceAfterMs?: number
  readonly tuning?: NodeOptions['tuning']
  readonly floorTuning?: NodeOptions['floorTuning']
  /** Where each node logs to; default nowhere. */
  readonly logOf?: (name: string) => Log
  /** What each life of a node gets in place of its network; default the network itself. */
  readonly networkOf?: (name: string, network: Network) => Network
  /** The same of its disk. */
  readonly diskOf?: (name: string, disk: Disk) => Disk
}

const text = new TextEncoder()
/** 2026-01-01T00:00:00Z. */
const startWallMs = 1_767_225_600_000
const allSlots = Array.from({ length: slotCount }, (_, slot) => slot as Slot)

/** Whole nodes in virtual time: the same core that `kv-server` runs, on simulated disks and networks. */
export class SimCluster {
  readonly world: SimWorld
  readonly fatal: Map<string, Error> = new Map()
  readonly #options: SimClusterOptions
  readonly #nodes = new Map<string, Node>()
  #names: readonly string[]
  readonly #ports = new Map<string, number>()
  /** The node that has started last. */
  startedLast: string | undefined
  /** Called when a node must end its process; it has not been crashed yet. */
  onFatal: (name: string, error: Error) => void = (name, error) => void this.fatal.set(name, error)

  constructor(options: SimClusterOptions) {
    this.#options = options
    this.world = new SimWorld({ startWallMs, ...options })
    this.#names = Array.from({ length: options.nodes ?? 3 }, (_, i) => `n${i + 1}`)
  }

  /** Who belongs to the cluster, as far as those who start its processes are concerned. */
  get names(): readonly string[] {
    return this.#names
  }

  /** The processes of `names`. */
  get processes(): SimProcess[] {
    return this.#names.map((name) => this.process(name))
  }

  /** From now on this process belongs to the cluster. Idempotent. */
  enlist(name: string): void {
    if (!this.#names.includes(name)) this.#names = [...this.#names, name]
  }

  /** It does not any more. It should not run. */
  dismiss(name: string): void {
    this.#names = this.#names.filter((each) => each !== name)
  }

  /** Starts all nodes with the same list of peers, and waits until they serve. */
  static async start(options: SimClusterOptions): Promise<SimCluster> {
    const cluster = new SimCluster(options)
    for (const name of cluster.names) await cluster.startNode(name)
    await cluster.allReady()
    await cluster.allConnected()
    return cluster
  }

  address(name: string): Address {
    return parseAddress(`${name}:${this.#ports.get(name) ?? 50_051}`, 'address')
  }

  /** From its next start on, the node has another address. */
  move(name: string): void {
    this.#ports.set(name, (this.#ports.get(name) ?? 50_051) + 1)
  }

  process(name: string): SimProcess {
    return this.world.process(name)
  }

  node(name: string): Node {
    const node = this.#nodes.get(name)
    if (node === undefined) throw new Error(`${name} was not started`)
    return node
  }

  /** The node listens when this resolves; it may still be forming. */
  startNode(name: string, peers: readonly string[] = this.names): Promise<Node> {
    return this.world.settle(this.launch(name, peers))
  }

  /** The same for callers who drive the world themselves. */
  async launch(
    name: string,
    peers: readonly string[] = this.names,
    id: string = name,
    change: Partial<NodeOptions> = {},
  ): Promise<Node> {
    const process = this.process(name)
    const { clock, random, disk, network } = process.life
    const starting = startCoreNode({
      instruments: new Instruments(() => clock.wallMs()),
      clock,
      random,
      disk: this.#options.diskOf?.(name, disk) ?? disk,
      network: this.#options.networkOf?.(name, network) ?? network,
      log: this.#options.logOf?.(name) ?? silentLog,
      id: parseNodeId(id),
      listenAddress: this.address(name),
      advertiseAddress: undefined,
      peers: peers.map((peer) => ({ address: this.address(peer), id: undefined })),
      replication: this.#options.replication ?? { replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
      virtualNodes: 150,
      zone: '',
      weight: 1,
      maxClockDriftMs: this.#options.maxClockDriftMs ?? 10_000,
      probeIntervalMs: 1_000,
      probeTimeoutMs: 500,
      suspicionMult: 4,
      gossipIntervalMs: 200,
      gossipFanout: 3,
      replaceAfterMs: this.#options.replaceAfterMs ?? 600_000,
      fsync: 'always',
      fsyncIntervalMs: 100,
      snapshotIntervalMs: this.#options.snapshotIntervalMs ?? 300_000,
      snapshotWalBytes: this.#options.snapshotWalBytes ?? 268_435_456,
      streamBytesPerSecond: this.#options.streamBytesPerSecond ?? 67_108_864,
      ...(this.#options.tuning === undefined ? {} : { tuning: this.#options.tuning }),
      ...(this.#options.floorTuning === undefined ? {} : { floorTuning: this.#options.floorTuning }),
      onFatal: (error) => this.onFatal(name, error),
      ...change,
    })
    const node = await starting
    this.#nodes.set(name, node)
    this.startedLast = name
    return node
  }

  /** Unix time as it truly is, whatever the clocks of the nodes say. */
  get trueWallMs(): number {
    return startWallMs + this.world.nowMs
  }

  /** Nodes that have started and whose process lives; paused ones too. */
  get runningNames(): string[] {
    return this.names.filter((name) => this.#nodes.has(name))
  }

  crash(name: string, options: CrashOptions = {}): void {
    this.process(name).crash(options)
    this.#nodes.delete(name)
  }

  async restart(name: string): Promise<Node> {
    this.process(name).restart()
    const node = await this.startNode(name)
    await this.world.settle(node.ready())
    return node
  }

  /**
   * Empties the disk of a node that does not run: when it is started again it comes back as a new incarnation, which the
   * others take in by themselves as long as a majority of all members runs.
   */
  wipe(name: string): void {
    this.process(name).drive.erase()
  }

  /** A node that does not run loses all records, and knows of which slots; who it is, its topology and its clock stay. */
  async lose(name: string, slots: readonly Slot[] = allSlots): Promise<void> {
    await this.settle(loseRecords(this.process(name).life.disk, slots))
  }

  /** What is on a node's disk, to be put back later. */
  copyDisk(name: string): Map<string, Uint8Array> {
    const { drive } = this.process(name)
    return new Map(drive.paths().map((path) => [path, drive.peek(path)!.slice()]))
  }

  /** A node that does not run gets its disk back as it was once. */
  async putBackDisk(name: string, files: ReadonlyMap<string, Uint8Array>): Promise<void> {
    this.wipe(name)
    const { disk } = this.process(name).life
    for (const [path, bytes] of files) {
      const directory = path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '.'
      if (directory !== '.') await this.settle(disk.makeDirectory(directory))
      const file = await this.settle(disk.open(path, 'create'))
      if (bytes.length > 0) await this.settle(file.write(bytes, 0))
      await this.settle(file.sync())
      await this.settle(file.close())
      for (const each of [directory, '.']) await this.settle(disk.syncDirectory(each))
    }
  }

  async allReady(): Promise<void> {
    for (const node of this.#nodes.values()) await this.world.settle(node.ready())
  }

  /** Until every running node sees every other running node. */
  async allConnected(withinMs = 30_000): Promise<void> {
    const running = new Set(this.#nodes.keys())
    await this.world.runUntil(() => {
      for (const node of this.#nodes.values()) {
        for (const member of node.topology?.members ?? []) {
          if (running.has(member.id) && !node.linked(member.id)) return false
        }
      }
      return true
    }, withinMs)
  }

  put(
    via: string,
    key: string,
    value: string,
    consistency: Consistency = 'quorum',
    timeoutMs = 5_000,
  ): Promise<WriteResult> {
    const { clock } = this.process(via)
    const options = { consistency, deadlineMs: clock.monotonicMs() + timeoutMs }
    return this.node(via).put(text.encode(key), text.encode(value), options)
  }

  async get(
    via: string,
    key: string,
    consistency: Consistency = 'quorum',
    timeoutMs = 5_000,
  ): Promise<string | undefined> {
    const { clock } = this.process(via)
    const options = { consistency, deadlineMs: clock.monotonicMs() + timeoutMs }
    const record = await this.node(via).get(text.encode(key), options)
    return record === undefined ? undefined : valueText(record)
  }

  delete(via: string, key: string, timeoutMs = 5_000): Promise<WriteResult> {
    const { clock } = this.process(via)
    const options = { consistency: 'quorum' as const, deadlineMs: clock.monotonicMs() + timeoutMs }
    return this.node(via).delete(text.encode(key), options)
  }

  settle<T>(promise: Promise<T>): Promise<T> {
    return this.world.settle(promise)
  }

  /** All live keys and values, through one node. */
  async scan(via: string, prefix = '', pageSize = 100): Promise<Map<string, string>> {
    const found = new Map<string, string>()
    let cursor: Uint8Array = new Uint8Array(0)
    do {
      const deadlineMs = this.process(via).clock.monotonicMs() + 10_000
      const options = { consistency: 'quorum' as const, deadlineMs, prefix: text.encode(prefix), pageSize, cursor }
      const page = await this.settle(this.node(via).scan(options))
      for (const record of page.records) found.set(new TextDecoder().decode(record.key), valueText(record))
      cursor = page.cursor
    } while (cursor.length > 0)
    return found
  }
}

/**
 * Removes all records from the disk of a node that has been used, and writes down of which slots. When it was cut short it
 * can be done again.
 */
export async function loseRecords(disk: Disk, slots: readonly Slot[] = allSlots): Promise<void> {
  const names = await disk.list('.')
  if (!names.includes('identity')) return
  await writeLostSlots(disk, slots)
  for (const directory of ['log', 'snapshots']) if (names.includes(directory)) await removeFiles(disk, directory)
  // With this document the directory would be that of a store whose files are gone.
  if (names.includes('store')) await disk.remove('store')
  await disk.syncDirectory('.')
}

/** Removes every file of a directory, for good. */
async function removeFiles(disk: Disk, directory: string): Promise<void> {
  for (const name of await disk.list(directory)) await disk.remove(`${directory}/${name}`)
  // Or else a crash would bring some of it back.
  await disk.syncDirectory(directory)
}

function valueText(record: StoredRecord): string {
  return new TextDecoder().decode(record.value)
}

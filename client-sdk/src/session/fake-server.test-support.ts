import {
  type Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerWritableStream,
  status,
} from '@grpc/grpc-js'
import { murmur3_32 } from '@quorumkv/internal/hash'
import {
  type ClusterServer,
  ClusterService,
  type Handover,
  Liveness,
  type Member,
  MemberState,
  type PlannedChange,
  type RepairRequest,
  type RepairResponse,
  type SnapshotResponse,
  type StatusResponse,
  type TopologyResponse,
} from '@quorumkv/proto/kv/v1/cluster'
import {
  ErrorCode,
  type KvServer,
  KvService,
  type Operation,
  type Result,
  type ScanRequest,
  type ScanResponse,
  type SessionRequest,
  type SessionResponse,
  WriteOutcome,
} from '@quorumkv/proto/kv/v1/kv'
import { FakeOperatorCalls } from '../operator/fake-operator.test-support.js'

type Session = ServerDuplexStream<SessionRequest, SessionResponse>
type Outcome = Result['outcome']

interface Stored {
  readonly value: Buffer
  readonly version: { readonly hlc: bigint; readonly node: number }
  readonly expiresAtMs: bigint
}

/** What a node does with an operation instead of carrying it out: answer so, not answer at all, or break the session. */
export type Fault = Outcome | 'silence' | 'break'

/** One table that all fake nodes share: what one node accepts, every node shows. */
export class FakeCluster {
  readonly nodes: FakeNode[] = []
  readonly data = new Map<string, Stored>()
  readonly slots = 4096
  credentials: ServerCredentials = ServerCredentials.createInsecure()
  clusterId = 'c'.repeat(32)
  epoch = 1
  hlc = 2n ** 60n + 1n
  /** At most; fewer where there are fewer nodes. */
  ownersPerSlot = 3
  handover: Handover | undefined
  planned: PlannedChange[] = []
  states: readonly MemberState[] = []
  zones: readonly string[] = []
  /** What sessions and questions for the topology have to show in `authorization`. Undefined: nothing. */
  demands: string | undefined = undefined

  static async start(count: number, credentials?: ServerCredentials): Promise<FakeCluster> {
    const cluster = new FakeCluster()
    if (credentials !== undefined) cluster.credentials = credentials
    for (let i = 0; i < count; i++) cluster.nodes.push(await FakeNode.start(cluster, i + 1))
    return cluster
  }

  get endpoints(): string[] {
    return this.nodes.map(({ address }) => address)
  }

  slotOf(key: string): number {
    return murmur3_32(Buffer.from(key)) >>> 20
  }

  /** Index of the owner in place `rank`: simply the slots in turn. */
  ownerIndex(slot: number, rank: number): number {
    return (slot + rank) % this.nodes.length
  }

  ownerOf(key: string, rank = 0): FakeNode {
    return this.nodes[this.ownerIndex(this.slotOf(key), rank)]!
  }

  /** A key whose first owner is this node. */
  keyOf(node: FakeNode, name = 'key'): string {
    for (let i = 0; ; i++) if (this.ownerOf(`${name}${i}`) === node) return `${name}${i}`
  }

  topology(): TopologyResponse {
    const ownersPerSlot = Math.min(this.ownersPerSlot, this.nodes.length)
    const owners = Buffer.alloc(this.slots * ownersPerSlot * 2)
    for (let slot = 0; slot < this.slots; slot++) {
      for (let rank = 0; rank < ownersPerSlot; rank++) {
        owners.writeUInt16LE(this.ownerIndex(slot, rank), (slot * ownersPerSlot + rank) * 2)
      }
    }
    return {
      clusterId: this.clusterId,
      epoch: BigInt(this.epoch),
      replication: { replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
      members: this.members(),
      slots: this.slots,
      ownersPerSlot,
      owners,
      handover: this.handover,
      otherOwners: this.handover === undefined ? Buffer.alloc(0) : owners,
      otherOwnersPerSlot: this.handover === undefined ? 0 : ownersPerSlot,
      planned: this.planned,
    }
  }

  members(): Member[] {
    return this.nodes.map((node, index) => ({
      id: `node-${index + 1}`,
      number: index + 1,
      address: node.address,
      zone: this.zones[index] ?? '',
      weight: 1,
      incarnation: 'a'.repeat(32),
      state: this.states[index] ?? MemberState.SERVING,
      liveness: Liveness.ALIVE,
      levelMin: 1,
      levelMax: 2,
      livenessMs: 1_000n,
    }))
  }

  stop(): void {
    for (const node of this.nodes) node.kill()
  }
}

/** A node that answers on the wire as a real one would, with faults on request. */
export class FakeNode {
  readonly received: SessionRequest[] = []
  readonly scans: ScanRequest[] = []
  readonly cluster: FakeCluster
  readonly number: number
  port = 0
  sessions = 0
  topologyCalls = 0
  openScans = 0
  pagesSent = 0
  statusCalls = 0
  snapshotCalls = 0
  /** What asking for a snapshot runs into. */
  snapshotFault: { code: number; details: string } | undefined = undefined
  readonly repairs: RepairRequest[] = []
  /** What being asked about a repair runs into, first one first. */
  readonly repairFaults: { code: number; details: string }[] = []
  /** Answers nothing any more, like a process that was stopped. */
  hung = false
  /** Decides about an operation before it is carried out. */
  fault: (operation: Operation) => Fault | undefined = () => undefined
  /** Decides about its answer after it was carried out: true drops it. */
  losesAnswer: (operation: Operation) => boolean = () => false
  /** Takes sessions, but reads nothing from them. */
  readsNothing = false
  /** Answers on its sessions with bytes that are no message. */
  babbles = false
  /** Ends new sessions with this status at once. */
  refuseSessions: { code: number; details: string } | undefined = undefined
  /** Ends a scan's stream after so many pages. */
  scanPagesMax: number = Number.POSITIVE_INFINITY
  pageSize = 2
  readonly operator: FakeOperatorCalls = new FakeOperatorCalls()
  /** Says so with every answer. */
  draining = false
  private server: Server = new Server()
  private readonly open = new Set<Session>()

  private constructor(cluster: FakeCluster, number: number) {
    this.cluster = cluster
    this.number = number
  }

  static async start(cluster: FakeCluster, number: number): Promise<FakeNode> {
    const node = new FakeNode(cluster, number)
    await node.listen()
    return node
  }

  get address(): string {
    return `127.0.0.1:${this.port}`
  }

  get operations(): Operation[] {
    return this.received.flatMap(({ operations }) => operations)
  }

  /** Listens, again on the same port if it did before. */
  async listen(): Promise<void> {
    this.server = new Server({ 'grpc.max_receive_message_length': 8_388_608 })
    this.server.addService(this.definition(), this.kv())
    this.server.addService(ClusterService, this.clusterCalls())
    this.port = await new Promise<number>((resolve, reject) => {
      this.server.bindAsync(this.address, this.cluster.credentials, (error, port) => {
        if (error === null) resolve(port)
        else reject(error)
      })
    })
  }

  private definition(): typeof KvService {
    const { session } = KvService
    const responseSerialize = (response: SessionResponse): Buffer =>
      this.babbles ? Buffer.from([0x1b]) : session.responseSerialize(response)
    return { ...KvService, session: { ...session, responseSerialize } }
  }

  private kv(): KvServer {
    return {
      get: (_call, callback) => callback({ code: status.UNIMPLEMENTED }),
      put: (_call, callback) => callback({ code: status.UNIMPLEMENTED }),
      delete: (_call, callback) => callback({ code: status.UNIMPLEMENTED }),
      scan: (call) => this.scan(call),
      session: (call) => this.session(call),
    }
  }

  private snapshot(): SnapshotResponse {
    return { nodeId: `node-${this.number}`, sequence: 7n, records: 3n, bytes: 4096n, durationMs: 12n }
  }

  /** Done when it is asked about for the second time. */
  private repair(request: RepairRequest): RepairResponse {
    this.repairs.push(request)
    const done = this.repairs.filter(({ repairId }) => repairId > 0n).length > 1
    return {
      ...{ nodeId: `node-${this.number}`, repairId: 77n, done, members: 2, membersDone: done ? 2 : 1, bytes: 6n },
      ...{ slotsDiffering: 1n, slotsRepaired: 2n, slotsSkipped: 3n, recordsPulled: 4n, recordsPushed: 5n },
      obstacles: [{ nodeId: 'node-9', reason: 'on purpose' }],
    }
  }

  private clusterCalls(): ClusterServer {
    return {
      ...this.operator.calls(),
      repair: (call, callback) => {
        const fault = this.repairFaults.shift()
        if (fault !== undefined) callback(fault)
        else if (!this.hung) callback(null, this.repair(call.request))
      },
      status: (_call, callback) => {
        this.statusCalls++
        if (!this.hung) callback(null, this.status())
      },
      snapshot: (_call, callback) => {
        this.snapshotCalls++
        if (this.snapshotFault !== undefined) callback(this.snapshotFault)
        else if (!this.hung) callback(null, this.snapshot())
      },
      locate: (_call, callback) => callback({ code: status.UNIMPLEMENTED, details: 'this fake locates nothing' }),
      topology: (call, callback) => {
        this.topologyCalls++
        const stranger = this.stranger(call.metadata)
        if (stranger !== undefined) callback(stranger)
        else if (!this.hung) callback(null, this.cluster.topology())
      },
    }
  }

  /** Dies at once, with all its connections. */
  kill(): void {
    this.server.forceShutdown()
  }

  /** Ends all sessions in good order, as a node does that shuts down. */
  endSessions(): void {
    for (const call of this.open) call.end()
  }

  /** Reads what it has left unread. */
  readAgain(): void {
    this.readsNothing = false
    for (const call of this.open) call.on('data', (request: SessionRequest) => this.receive(call, request))
  }

  /** Tells all clients something without being asked. */
  announce(): void {
    for (const call of this.open) call.write(this.response([]))
  }

  private session(call: Session): void {
    this.sessions++
    this.open.add(call)
    call.on('error', () => undefined)
    call.on('close', () => this.open.delete(call))
    call.on('end', () => call.end())
    const refusal = this.refuseSessions ?? this.stranger(call.metadata)
    if (refusal !== undefined) {
      call.emit('error', refusal)
      return
    }
    if (!this.readsNothing) call.on('data', (request: SessionRequest) => this.receive(call, request))
  }

  /** Why who shows this is not let in; undefined: they are. */
  private stranger(metadata: Metadata): { code: number; details: string } | undefined {
    const { demands } = this.cluster
    if (demands === undefined || metadata.get('authorization')[0] === demands) return undefined
    return { code: status.UNAUTHENTICATED, details: 'the token is nobody’s' }
  }

  /** Ends the sessions that are open, as when the token that they were begun with is revoked. */
  throwOut(): void {
    for (const call of this.open)
      call.emit('error', { code: status.UNAUTHENTICATED, details: 'the token has been revoked' })
  }

  private receive(call: Session, request: SessionRequest): void {
    if (this.hung) return
    this.received.push(request)
    const results: Result[] = []
    for (const operation of request.operations) {
      const fault = this.fault(operation)
      if (fault === 'silence') continue
      if (fault === 'break') {
        call.emit('error', { code: status.UNAVAILABLE, details: 'session broken on purpose' })
        return
      }
      const outcome = fault ?? this.execute(operation)
      if (!this.losesAnswer(operation)) results.push({ id: operation.id, outcome })
    }
    if (results.length > 0) call.write(this.response(results))
  }

  private response(results: Result[]): SessionResponse {
    const { hlc, epoch } = this.cluster
    return { hlc, epoch: BigInt(epoch), results, draining: this.draining }
  }

  private execute({ request }: Operation): Outcome {
    const { data } = this.cluster
    if (request === undefined) return undefined
    const name = request.value.key.toString('latin1')
    const before = data.get(name)
    const version = { hlc: ++this.cluster.hlc, node: this.number }
    switch (request.$case) {
      case 'get':
        if (before === undefined) {
          return { $case: 'get', value: { found: false, value: Buffer.alloc(0), version: undefined, expiresAtMs: 0n } }
        }
        return {
          $case: 'get',
          value: {
            found: true,
            value: before.value,
            version: before.version,
            expiresAtMs: before.expiresAtMs,
          },
        }
      case 'put': {
        const { value, ttlMs, returnPrevious } = request.value
        const expiresAtMs = ttlMs === undefined ? 0n : BigInt(Date.now()) + ttlMs
        data.set(name, { value, version, expiresAtMs })
        return {
          $case: 'put',
          value: {
            version,
            acks: 2,
            hadPrevious: returnPrevious && before !== undefined,
            previousValue: returnPrevious && before !== undefined ? before.value : Buffer.alloc(0),
            previousUnknown: false,
          },
        }
      }
      case 'delete':
        data.delete(name)
        return { $case: 'delete', value: { version, acks: 2, existed: before !== undefined, existedUnknown: false } }
      default:
        return request satisfies never
    }
  }

  private scan(call: ServerWritableStream<ScanRequest, ScanResponse>): void {
    this.scans.push(call.request)
    this.openScans++
    call.on('error', () => undefined)
    call.on('close', () => this.openScans--)
    const { prefix, cursor, keysOnly } = call.request
    const pageSize = call.request.pageSize === 0 ? this.pageSize : call.request.pageSize
    const after = cursor.toString('latin1')
    const names = [...this.cluster.data.keys()].filter(
      (name) => name.startsWith(prefix.toString('latin1')) && name > after,
    )
    names.sort()
    const send = (from: number, pages: number): void => {
      if (call.cancelled || this.hung) return
      if (pages >= this.scanPagesMax) {
        call.emit('error', { code: status.UNAVAILABLE, details: 'scan broken on purpose' })
        return
      }
      const page = names.slice(from, from + pageSize)
      const more = from + pageSize < names.length
      const entries = page.map((name) => {
        const { value, version, expiresAtMs } = this.cluster.data.get(name)!
        const key = Buffer.from(name, 'latin1')
        return { key, value: keysOnly ? Buffer.alloc(0) : value, version, expiresAtMs }
      })
      this.pagesSent++
      const response = { entries, cursor: more ? Buffer.from(page[page.length - 1]!, 'latin1') : Buffer.alloc(0) }
      if (!more) {
        call.write(response)
        call.end()
      } else if (call.write(response)) setImmediate(send, from + pageSize, pages + 1)
      else call.once('drain', () => send(from + pageSize, pages + 1))
    }
    send(0, 0)
  }

  private status(): StatusResponse {
    return {
      nodeId: `node-${this.number}`,
      clusterId: this.cluster.clusterId,
      epoch: BigInt(this.cluster.epoch),
      members: this.cluster.members(),
      replication: { replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
      serverVersion: '0.1.0',
      uptimeMs: 5000n,
      storage: {
        entries: BigInt(this.cluster.data.size),
        tombstones: 0n,
        tableBytes: 0n,
        logBytes: 0n,
        logSegments: 1,
        lastSequence: 7n,
        snapshotSequence: 0n,
        readOnly: false,
        lostSlots: 0,
        refillObstacle: '',
        floorMs: 0n,
        floorObstacle: '',
      },
      hlc: this.cluster.hlc,
      convergence: {
        peers: [{ nodeId: 'node-9', comparedMsAgo: 8n, differingSlots: 2, obstacle: 'on purpose' }],
        recordsPulled: 3n,
        recordsPushed: 4n,
      },
      hints: [{ nodeId: 'node-9', hints: 5n, bytes: 600n, oldestMsAgo: 7n, dropped: 8n }],
      forming: false,
      handover: this.cluster.handover,
      planned: this.cluster.planned,
      draining: this.draining,
      operations: 0,
      featureLevel: 1,
      certificates: [],
      certificateProblem: '',
    }
  }
}

/** An error as a node reports it for one operation. */
export function errorResult(code: keyof typeof ErrorCode, outcome: keyof typeof WriteOutcome, field = ''): Outcome {
  return {
    $case: 'error',
    value: { code: ErrorCode[code], message: `${code} on purpose`, field, writeOutcome: WriteOutcome[outcome] },
  }
}

import { type ChannelCredentials, Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { encodeRecords } from '@quorumkv/internal/record'
import {
  AuthCreateRequest,
  AuthListRequest,
  AuthRevokeRequest,
  AuthRole,
  BackupSlotsRequest,
  CancelHandoverRequest,
  DecommissionRequest,
  DrainRequest,
  FiguresRequest,
  ForceRemoveRequest,
  LocateRequest,
  RaiseLevelRequest,
  RemoveRequest,
  RepairRequest,
  ReplaceRequest,
  RestoreSlotsRequest,
  ReweightRequest,
  SafeToStopRequest,
  SnapshotRequest,
  StatusRequest,
  StreamRateRequest,
  TopologyRequest,
} from '@quorumkv/proto/kv/v1/cluster'
import {
  Consistency,
  DeleteRequest,
  ErrorCode,
  GetRequest,
  PutRequest,
  ScanRequest,
  SessionRequest,
  SessionResponse,
} from '@quorumkv/proto/kv/v1/kv'
import { channelKey } from '../links/exchange.js'

/** The key that the samples are about. */
export const sampleKey: Buffer = Buffer.from('app/key')

const key = sampleKey
const consistency = Consistency.UNSPECIFIED
const sampleRecord = { hi: 0, lo: 1, node: 1, key, tombstone: false, expiresAtMs: 0, value: key }
const bytes = (encoded: { finish(): Uint8Array }): Buffer => Buffer.from(encoded.finish())

/** A request for each method, as bytes; each is one that the method would go on with, and hurts nobody. */
export const samples: Readonly<Record<string, Buffer>> = {
  '/kv.v1.Kv/Get': bytes(GetRequest.encode({ key, consistency })),
  '/kv.v1.Kv/Put': bytes(PutRequest.encode({ key, value: key, consistency, returnPrevious: false })),
  '/kv.v1.Kv/Delete': bytes(DeleteRequest.encode({ key, consistency })),
  '/kv.v1.Kv/Scan': bytes(
    ScanRequest.encode({ prefix: key, pageSize: 0, cursor: Buffer.alloc(0), keysOnly: false, consistency }),
  ),
  '/kv.v1.Kv/Session': bytes(
    SessionRequest.encode({
      observedHlc: 0n,
      operations: [
        {
          id: 1,
          timeoutMs: 1_000,
          request: { $case: 'get', value: { key, consistency } },
          stampAboveMs: 0n,
          stampLimitMs: 0n,
          traceparent: '',
        },
      ],
      cancelled: [],
    }),
  ),
  '/kv.v1.Cluster/Status': bytes(StatusRequest.encode({})),
  '/kv.v1.Cluster/Topology': bytes(TopologyRequest.encode({})),
  '/kv.v1.Cluster/Figures': bytes(FiguresRequest.encode({ eventsAfter: 0n })),
  '/kv.v1.Cluster/Locate': bytes(LocateRequest.encode({ key })),
  '/kv.v1.Cluster/SafeToStop': bytes(SafeToStopRequest.encode({ id: 'n1' })),
  '/kv.v1.Cluster/Snapshot': bytes(SnapshotRequest.encode({})),
  '/kv.v1.Cluster/Repair': bytes(RepairRequest.encode({ repairId: 0n, slot: undefined, node: '' })),
  '/kv.v1.Cluster/Decommission': bytes(DecommissionRequest.encode({ id: 'n1', dryRun: true })),
  '/kv.v1.Cluster/Remove': bytes(RemoveRequest.encode({ id: 'n1', dryRun: true })),
  '/kv.v1.Cluster/ForceRemove': bytes(ForceRemoveRequest.encode({ ids: ['n1'], epoch: 1n, dryRun: true })),
  '/kv.v1.Cluster/Replace': bytes(ReplaceRequest.encode({ id: 'n1', by: 'n2', dryRun: true })),
  '/kv.v1.Cluster/Reweight': bytes(ReweightRequest.encode({ id: 'n1', weight: 2, dryRun: true })),
  '/kv.v1.Cluster/CancelHandover': bytes(CancelHandoverRequest.encode({ id: '', dryRun: true, epoch: 0n })),
  '/kv.v1.Cluster/RaiseLevel': bytes(RaiseLevelRequest.encode({ dryRun: true })),
  '/kv.v1.Cluster/Drain': bytes(DrainRequest.encode({})),
  '/kv.v1.Cluster/StreamRate': bytes(StreamRateRequest.encode({ bytesPerSecond: undefined })),
  '/kv.v1.Cluster/BackupSlots': bytes(
    BackupSlotsRequest.encode({ slot: 4_095, after: Buffer.alloc(0), knownDigests: Buffer.alloc(0) }),
  ),
  '/kv.v1.Cluster/RestoreSlots': bytes(
    RestoreSlotsRequest.encode({
      records: Buffer.from(encodeRecords([sampleRecord])),
      count: 1,
      highestHlc: 0n,
      clusterId: '',
    }),
  ),
  '/kv.v1.Cluster/AuthList': bytes(AuthListRequest.encode({})),
  '/kv.v1.Cluster/AuthCreate': bytes(
    AuthCreateRequest.encode({
      name: 'new',
      role: AuthRole.READ,
      prefixes: [],
      tokenSha256: Buffer.alloc(32),
      expiresAtMs: 0n,
    }),
  ),
  '/kv.v1.Cluster/AuthRevoke': bytes(AuthRevokeRequest.encode({ name: 'gone' })),
  '/kv.peer.v1.Peer/Exchange': Buffer.alloc(0),
  '/grpc.health.v1.Health/Check': Buffer.alloc(0),
  '/grpc.health.v1.Health/Watch': Buffer.alloc(0),
  '/grpc.health.v1.Health/List': Buffer.alloc(0),
  // list_services
  '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo': Buffer.from([0x3a, 0]),
  '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo': Buffer.from([0x3a, 0]),
}

/** Methods that answer with a stream. */
const streaming = /\/(Scan|Session|Exchange|Watch|ServerReflectionInfo)$/

const asIs = (given: Buffer): Buffer => given

export type Verdict = 'admitted' | 'unauthenticated' | 'permission-denied'

function verdictOf(code: status): Verdict {
  if (code === status.UNAUTHENTICATED) return 'unauthenticated'
  return code === status.PERMISSION_DENIED ? 'permission-denied' : 'admitted'
}

/** What a session says of its operation; undefined: nothing yet. */
function verdictOfSession(data: Buffer): Verdict | undefined {
  const [result] = SessionResponse.decode(data).results
  if (result === undefined) return undefined
  const refused = result.outcome?.$case === 'error' && result.outcome.value.code === ErrorCode.PERMISSION_DENIED
  return refused ? 'permission-denied' : 'admitted'
}

/** Calls methods by their paths, with messages as bytes. */
export class RawClient {
  readonly #client: Client

  constructor(address: string, how: ChannelCredentials = credentials.createInsecure()) {
    this.#client = new Client(address, how)
  }

  /** Whether a call with these metadata gets past the door; an answer is one, and so is any other failure. */
  call(path: string, authorization: string | undefined, request: Buffer = samples[path]!): Promise<Verdict> {
    const metadata = new Metadata()
    if (authorization !== undefined) metadata.set('authorization', authorization)
    if (path.endsWith('/Exchange')) metadata.set(channelKey, 'requests')
    const deadline = Date.now() + 10_000
    return new Promise((resolve) => {
      if (!streaming.test(path)) {
        const done = (error: ServiceError | null): void => resolve(error === null ? 'admitted' : verdictOf(error.code))
        this.#client.makeUnaryRequest(path, asIs, asIs, request, metadata, { deadline }, done)
        return
      }
      const call = this.#client.makeBidiStreamRequest(path, asIs, asIs, metadata, { deadline })
      const end = (verdict: Verdict): void => {
        resolve(verdict)
        call.cancel()
      }
      // Sent at once by whoever takes links; else the first message, or that there is none.
      call.on('metadata', () => path.endsWith('/Exchange') && end('admitted'))
      call.on('data', (data: Buffer) => {
        const verdict = path.endsWith('/Session') ? verdictOfSession(data) : 'admitted'
        if (verdict !== undefined) end(verdict)
      })
      call.on('error', (error: ServiceError) => end(verdictOf(error.code)))
      call.on('end', () => end('admitted'))
      call.write(request)
      if (path.endsWith('/Scan') || path.endsWith('/Watch')) call.end()
    })
  }

  close(): void {
    this.#client.close()
  }
}

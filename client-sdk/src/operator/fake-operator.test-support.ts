import type { Metadata } from '@grpc/grpc-js'
import type { ChangeResponse, ClusterServer, FiguresResponse } from '@quorumkv/proto/kv/v1/cluster'
import { AuthRole, ChangePlan_Begins as Begins } from '@quorumkv/proto/kv/v1/cluster'

type Calls = Pick<
  ClusterServer,
  | 'decommission'
  | 'remove'
  | 'replace'
  | 'reweight'
  | 'cancelHandover'
  | 'forceRemove'
  | 'raiseLevel'
  | 'safeToStop'
  | 'drain'
  | 'streamRate'
  | 'figures'
  | 'authList'
  | 'authCreate'
  | 'authRevoke'
  | 'backupSlots'
  | 'restoreSlots'
>

/** What a fake node answers to operators. */
export class FakeOperatorCalls {
  readonly requests: [method: string, request: unknown][] = []
  /** What calls run into, first one first. */
  readonly faults: { code: number; details: string; metadata?: Metadata }[] = []
  /** What it says that it measures, over what it says otherwise. */
  figures: Partial<FiguresResponse> = {}
  /** Called when a request has come and its answer is made. */
  after: (method: string) => unknown = () => undefined

  calls(): Calls {
    return {
      decommission: (call, callback) => this.#answer('decommission', call.request, callback, plan),
      remove: (call, callback) => this.#answer('remove', call.request, callback, plan),
      replace: (call, callback) => this.#answer('replace', call.request, callback, plan),
      reweight: (call, callback) => this.#answer('reweight', call.request, callback, plan),
      cancelHandover: (call, callback) => this.#answer('cancelHandover', call.request, callback, plan),
      forceRemove: (call, callback) =>
        this.#answer('forceRemove', call.request, callback, {
          ...{ nodeId: 'node-1', epoch: 9n, emptySlots: [4], doubtfulSlots: 2, remaining: ['node-1'] },
        }),
      raiseLevel: (call, callback) => this.#answer('raiseLevel', call.request, callback, { before: 1, after: 2 }),
      safeToStop: (call, callback) =>
        this.#answer('safeToStop', call.request, callback, { safe: false, reason: 'on purpose' }),
      drain: (call, callback) => this.#answer('drain', call.request, callback, { nodeId: 'node-1', operations: 5 }),
      streamRate: (call, callback) =>
        this.#answer('streamRate', call.request, callback, {
          nodeId: 'node-1',
          bytesPerSecond: call.request.bytesPerSecond ?? 99n,
        }),
      figures: (call, callback) => this.#answer('figures', call.request, callback, { ...someFigures, ...this.figures }),
      authList: (call, callback) =>
        this.#answer('authList', call.request, callback, {
          ...{ nodeId: 'node-1', revision: 3n, openMembers: ['node-2'] },
          principals: [
            { name: 'ops', role: AuthRole.ADMIN, prefixes: [], createdAtMs: 0n, expiresAtMs: 0n, inFile: true },
            {
              ...{ name: 'app', role: AuthRole.WRITE, prefixes: [Buffer.from('app/')] },
              ...{ createdAtMs: 1_000n, expiresAtMs: 2_000n, inFile: false },
            },
          ],
        }),
      authCreate: (call, callback) =>
        this.#answer('authCreate', call.request, callback, { nodeId: 'node-1', revision: 4n }),
      authRevoke: (call, callback) =>
        this.#answer('authRevoke', call.request, callback, { nodeId: 'node-1', revision: 5n }),
      backupSlots: (call, callback) =>
        this.#answer('backupSlots', call.request, callback, {
          ...{ nextSlot: 6, nextAfter: Buffer.from('k'), hlc: 2n ** 63n + 1n, clusterId: 'c'.repeat(32) },
          slots: [
            { slot: 5, unchanged: true, records: Buffer.alloc(0), count: 0, more: false, floorMs: 9n },
            { slot: 6, unchanged: false, records: Buffer.from('r'), count: 1, more: true, floorMs: 0n },
          ],
        }),
      restoreSlots: (call, callback) =>
        this.#answer('restoreSlots', call.request, callback, { stored: 3, superseded: 2, deleted: 1 }),
    }
  }

  #answer<T>(method: string, request: unknown, callback: (...result: [Error | null, T?]) => void, answer: T): void {
    this.requests.push([method, request])
    const fault = this.faults.shift()
    this.after(method)
    if (fault === undefined) callback(null, answer)
    else callback(Object.assign(new Error(fault.details), fault))
  }
}

const plan: ChangeResponse = {
  epoch: 8n,
  plan: {
    begins: Begins.QUEUED,
    slots: 1,
    copies: 2,
    moves: [{ from: 'node-1', to: '', slots: 1 }],
    bytes: 3n,
    durationMs: undefined,
    calledOff: [{ kind: 'reweight', id: 'node-2', weight: 4, by: '' }],
    turnedAway: ['node-9'],
    spareNow: 1,
    spareMeanwhile: 0,
    spareAfterwards: -1,
  },
}

const someFigures: FiguresResponse = {
  nodeId: 'node-1',
  atMs: 1_700_000_000_000n,
  uptimeMs: 5_000n,
  hlc: 1n,
  clockOffsetMs: 0n,
  serverVersion: '0.1.0',
  incarnation: 'a'.repeat(32),
  draining: false,
  ready: true,
  operations: [
    {
      ...{ kind: 'get', role: 'coordinator', count: 9n, errors: 2n, errorsByCode: [{ code: 'timeout', count: 2n }] },
      latency: { count: 7n, p50Us: 100, p99Us: 200, p999Us: 300, maxUs: 400 },
    },
    { kind: 'put', role: 'replica', count: 4n, errors: 0n, errorsByCode: [], latency: undefined },
    { kind: 'append', role: 'replica', count: 4n, errors: 0n, errorsByCode: [], latency: undefined },
  ],
  quorumFailures: 2n,
  readRepairs: 0n,
  hintsWritten: 0n,
  hintsReplayed: 0n,
  hintsDropped: 0n,
  hintsWaiting: 0n,
  hintBytes: 0n,
  differingSlots: 0,
  recordsPulled: 0n,
  recordsPushed: 0n,
  process: undefined,
  storage: undefined,
  handover: undefined,
  members: [],
  events: [],
  certificateExpiresAtMs: 0n,
  certificateProblem: '',
}

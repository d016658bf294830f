import type { ChangeResponse, ClusterServer } from '@quorumkv/proto/kv/v1/cluster'
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
  readonly faults: { code: number; details: string }[] = []
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

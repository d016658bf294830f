import { type ChangeResponse, ClusterService } from '@quorumkv/proto/kv/v1/cluster'
import { invalidArgument } from '../errors.js'
import { limits } from '../limits.js'
import { checkWhole } from '../options.js'
import type { UnaryMethod } from '../session/transport.js'
import type { CallOptions } from '../types.js'
import { createPrincipal, listPrincipals, revokePrincipal } from './access-calls.js'
import type { AccessOverview, CreatedPrincipal, NewPrincipal } from './access-types.js'
import { type BackupPage, type BackupRequest, backupPageOf, type RestoreOptions, type RestoreTally } from './backups.js'
import { planOf } from './change-messages.js'
import type { CancelOptions, ChangeOptions, ChangePlan, ForcedRemoval, Operator, StopVerdict } from './changes.js'
import type { ClusterCalls } from './cluster.js'
import { figuresOf, type NodeFigures } from './node-figures.js'

const weightMax = 1000

/** See `Operator`. Any member will do for most of it: one that cannot is left for the next. */
export class OperatorCalls implements Operator {
  private readonly cluster: ClusterCalls

  constructor(cluster: ClusterCalls) {
    this.cluster = cluster
  }

  async decommission(id: string, options: ChangeOptions = {}): Promise<ChangePlan> {
    return await this.change(ClusterService.decommission, { id: checkId(id, 'id'), dryRun: isDry(options) }, options)
  }

  async remove(id: string, options: ChangeOptions = {}): Promise<ChangePlan> {
    return await this.change(ClusterService.remove, { id: checkId(id, 'id'), dryRun: isDry(options) }, options)
  }

  async forceRemove(
    endpoint: string,
    ids: readonly string[],
    epoch: number,
    options: ChangeOptions = {},
  ): Promise<ForcedRemoval> {
    const at = BigInt(checkWhole(epoch, 'epoch', 1, Number.MAX_SAFE_INTEGER))
    const request = { ids: ids.map((id) => checkId(id, 'ids')), epoch: at, dryRun: isDry(options) }
    const response = await this.cluster.at(endpoint, ClusterService.forceRemove, request, options)
    return { ...response, epoch: Number(response.epoch) }
  }

  async replace(id: string, by: string, options: ChangeOptions = {}): Promise<ChangePlan> {
    const request = { id: checkId(id, 'id'), by: checkId(by, 'by'), dryRun: isDry(options) }
    return await this.change(ClusterService.replace, request, options)
  }

  async reweight(id: string, weight: number, options: ChangeOptions = {}): Promise<ChangePlan> {
    const shares = checkWhole(weight, 'weight', 1, weightMax)
    const request = { id: checkId(id, 'id'), weight: shares, dryRun: isDry(options) }
    return await this.change(ClusterService.reweight, request, options)
  }

  async cancel(id?: string, options: CancelOptions = {}): Promise<ChangePlan> {
    const about = id === undefined ? '' : checkId(id, 'id')
    const ask = (dryRun: boolean, epoch: number, timeoutMs: number | undefined): Promise<ChangePlan> => {
      const request = { id: about, dryRun, epoch: BigInt(epoch) }
      return this.change(ClusterService.cancelHandover, request, { ...options, timeoutMs })
    }
    const { epoch, timeoutMs } = options
    if (epoch !== undefined) checkWhole(epoch, 'epoch', 1, Number.MAX_SAFE_INTEGER)
    if (isDry(options) || epoch !== undefined) return await ask(isDry(options), epoch ?? 0, timeoutMs)
    // A call that is repeated at another node must not hit what has begun since the first.
    const startedMs = performance.now()
    const seen = await ask(true, 0, timeoutMs)
    const leftMs = timeoutMs === undefined ? undefined : Math.max(1, timeoutMs - (performance.now() - startedMs))
    return await ask(false, seen.epoch, leftMs)
  }

  async raiseLevel(options: ChangeOptions = {}): Promise<{ before: number; after: number }> {
    const request = { dryRun: isDry(options) }
    const { before, after } = await this.cluster.anyOf(ClusterService.raiseLevel, request, options)
    return { before, after }
  }

  async safeToStop(id: string, options: CallOptions = {}): Promise<StopVerdict> {
    const request = { id: checkId(id, 'id') }
    const { safe, reason } = await this.cluster.anyOf(ClusterService.safeToStop, request, options)
    return { safe, reason }
  }

  async drain(endpoint: string, options: CallOptions = {}): Promise<number> {
    return (await this.cluster.at(endpoint, ClusterService.drain, {}, options)).operations
  }

  async streamRate(endpoint: string, bytesPerSecond?: number, options: CallOptions = {}): Promise<number> {
    const rate = bytesPerSecond === undefined ? undefined : checkWhole(bytesPerSecond, 'bytesPerSecond', 1, 2 ** 53 - 1)
    const request = { bytesPerSecond: rate === undefined ? undefined : BigInt(rate) }
    return Number((await this.cluster.at(endpoint, ClusterService.streamRate, request, options)).bytesPerSecond)
  }

  async backupSlots(request: BackupRequest, options: CallOptions = {}): Promise<BackupPage> {
    const { after, knownDigests } = request
    const wanted = {
      slot: checkWhole(request.slot, 'slot', 0, limits.slotsMax - 1),
      after: Buffer.from(checkBytes(after, 'after')),
      knownDigests: Buffer.from(checkBytes(knownDigests ?? new Uint8Array(), 'knownDigests')),
    }
    return backupPageOf(await this.cluster.anyOf(ClusterService.backupSlots, wanted, options))
  }

  async restoreSlots(records: Uint8Array, count: number, options: RestoreOptions = {}): Promise<RestoreTally> {
    const bytes = checkBytes(records, 'records')
    const request = {
      records: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length),
      count: checkWhole(count, 'count', 1, limits.restoreRecordsMax),
      highestHlc: checkHlc(options.highestHlc ?? 0n),
      clusterId: options.clusterId === undefined ? '' : checkId(options.clusterId, 'clusterId', 'cluster'),
    }
    const { stored, superseded, deleted } = await this.cluster.anyOf(ClusterService.restoreSlots, request, options)
    return { stored, superseded, deleted }
  }

  async figures(endpoint: string, options: CallOptions = {}): Promise<NodeFigures> {
    // Events are for who shows them all; a node counts its own from 1.
    const request = { eventsAfter: 2n ** 64n - 1n }
    return figuresOf(await this.cluster.at(endpoint, ClusterService.figures, request, options))
  }

  async principals(options: CallOptions = {}): Promise<AccessOverview> {
    return await listPrincipals(this.cluster, options)
  }

  async createPrincipal(name: string, options: NewPrincipal): Promise<CreatedPrincipal> {
    return await createPrincipal(this.cluster, name, options)
  }

  async revokePrincipal(name: string, options: CallOptions = {}): Promise<number> {
    return await revokePrincipal(this.cluster, name, options)
  }

  private async change<Req>(method: UnaryMethod<Req, ChangeResponse>, request: Req, options: ChangeOptions) {
    return planOf(await this.cluster.anyOf(method, request, options))
  }
}

function isDry({ dryRun }: ChangeOptions): boolean {
  return dryRun === true
}

function checkId(id: unknown, field: string, of = 'node'): string {
  if (typeof id !== 'string' || id === '') throw invalidArgument(field, `must be the id of a ${of}`)
  return id
}

function checkBytes(bytes: unknown, field: string): Uint8Array {
  if (!(bytes instanceof Uint8Array)) throw invalidArgument(field, 'must be a Uint8Array')
  return bytes
}

function checkHlc(hlc: unknown): bigint {
  if (typeof hlc === 'bigint' && hlc >= 0n && hlc < 1n << 64n) return hlc
  throw invalidArgument('highestHlc', 'must be a bigint of 64 bits')
}

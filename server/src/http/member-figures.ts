import { KvError, limits } from '@quorumkv/internal/base'
import type { Node } from '@quorumkv/internal/cluster'
import type { Member, Topology } from '@quorumkv/internal/slots'
import type { FiguresResponse } from '@quorumkv/proto/kv/v1/cluster'
import { MemberCalls } from '../calls/member-calls.js'
import type { ServiceContext } from '../calls/service-context.js'
import { packageVersion } from '../package-version.js'

/** What a member holds, and how it is, in a few numbers. */
export interface MemberFigures {
  readonly serverVersion: string
  readonly uptimeMs: number
  readonly entries: number
  readonly tombstones: number
  readonly tableBytes: number
  readonly logBytes: number
  readonly readOnly: boolean
  readonly lostSlots: number
}

/** What this node says of itself; undefined: its store is not open yet. */
export function ownFigures(node: Node): MemberFigures | undefined {
  const { store, uptimeMs } = node.status()
  if (store === undefined) return undefined
  const { entries, tombstones, tableBytes, logBytes, readOnly, lostSlots } = store
  const serverVersion = packageVersion
  return {
    serverVersion,
    uptimeMs: Math.floor(uptimeMs),
    entries,
    tombstones,
    tableBytes,
    logBytes,
    readOnly,
    lostSlots,
  }
}

function toldFigures({ serverVersion, uptimeMs, storage }: FiguresResponse): MemberFigures | undefined {
  const status = storage?.status
  if (status === undefined) return undefined
  return {
    serverVersion,
    uptimeMs: Number(uptimeMs),
    entries: Number(status.entries),
    tombstones: Number(status.tombstones),
    tableBytes: Number(status.tableBytes),
    logBytes: Number(status.logBytes),
    readOnly: status.readOnly,
    lostSlots: status.lostSlots,
  }
}

/**
 * What the members say of themselves. They are asked together, at most once in `limits.memberFiguresMs`, however many
 * requests want to know it.
 */
export class FiguresOfMembers {
  readonly #services: ServiceContext
  readonly #stopping: AbortSignal
  readonly #calls: MemberCalls
  #asked: Promise<ReadonlyMap<string, MemberFigures>> | undefined
  #askedMs = Number.NEGATIVE_INFINITY
  #askedOf: Topology | undefined

  constructor(services: ServiceContext, stopping: AbortSignal) {
    this.#services = services
    this.#stopping = stopping
    this.#calls = new MemberCalls(services.clock, services.certificates, (to) => services.access.asNode(to))
    stopping.addEventListener('abort', () => this.#calls.keep(), { once: true })
  }

  /** By the ids of the members that have answered in time; one that is not held for alive is not asked. */
  of(node: Node, topology: Topology): Promise<ReadonlyMap<string, MemberFigures>> {
    const nowMs = this.#services.clock.monotonicMs()
    const stale = this.#askedOf !== topology || nowMs - this.#askedMs >= limits.memberFiguresMs
    if (this.#asked === undefined || stale) {
      this.#askedOf = topology
      this.#askedMs = nowMs
      this.#asked = this.#ask(node, topology.members)
    }
    return this.#asked
  }

  async #ask(node: Node, members: readonly Member[]): Promise<ReadonlyMap<string, MemberFigures>> {
    const told = new Map<string, MemberFigures>()
    const take = (id: string, figures: MemberFigures | undefined): void => {
      if (figures !== undefined) told.set(id, figures)
    }
    take(node.id, ownFigures(node))
    // Connections that are made now would outlive the node.
    if (this.#stopping.aborted) return told
    this.#calls.keep(new Set(members.map(({ id }) => id)))
    const others = members.filter((member) => member.id !== node.id && node.liveness(member).status === 'alive')
    await Promise.all(
      others.map(async (member) => {
        try {
          take(member.id, toldFigures(await this.#calls.figures(member, 0n)))
        } catch (error) {
          // Who does not answer is told of without figures.
          if (!(error instanceof KvError)) throw error
        }
      }),
    )
    return told
  }
}

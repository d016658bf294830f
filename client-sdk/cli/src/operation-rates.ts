import type { NodeFigures } from '@quorumkv/client'

/** Operations that a member has coordinated, at a moment of its own clock. */
interface Counted {
  readonly uptimeMs: number
  readonly count: number
}

/**
 * How many operations a second members run for clients, from one look at them to the next, by the clock of each. Of what is
 * told only once, or by a process that has started anew, nothing is known.
 */
export class OperationRates {
  #before: ReadonlyMap<string, Counted> = new Map()

  /** By the ids of those that have been told of; undefined: it is not known. */
  next(told: ReadonlyMap<string, NodeFigures | undefined>): ReadonlyMap<string, number | undefined> {
    const now = new Map<string, Counted>()
    const rates = new Map<string, number | undefined>()
    for (const [id, figures] of told) {
      if (figures !== undefined) now.set(id, countedIn(figures))
      rates.set(id, rateOf(this.#before.get(id), now.get(id)))
    }
    this.#before = now
    return rates
  }
}

function countedIn({ uptimeMs, operations }: NodeFigures): Counted {
  const own = operations.filter(({ role }) => role === 'coordinator')
  return { uptimeMs, count: own.reduce((sum, { count }) => sum + count, 0) }
}

function rateOf(before: Counted | undefined, now: Counted | undefined): number | undefined {
  if (before === undefined || now === undefined) return undefined
  const ms = now.uptimeMs - before.uptimeMs
  const count = now.count - before.count
  return ms > 0 && count >= 0 ? (count / ms) * 1_000 : undefined
}

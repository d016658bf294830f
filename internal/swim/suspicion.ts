import { limits } from '../base/index.js'

/** A suspicion that runs. Times are monotonic milliseconds. */
export interface Suspicion {
  /** Pushed back by the length of every pause of this node: what was not heard in that time proves nothing. */
  startMs: number
  /** Members whose own probes have failed, each once; at most one more than the confirmations that count. */
  accusers: readonly number[]
  /** It comes from somebody who holds the member for dead already: nobody else need confirm it. */
  confirmed: boolean
  /** This node's health when it began: who is slow itself waits longer. */
  readonly factor: number
}

export interface SuspicionTimes {
  readonly probeIntervalMs: number
  readonly suspicionMult: number
  /** Members of the cluster, this node among them. */
  readonly members: number
}

/** The shortest time that any suspicion runs: long enough for a rumour to go round and a refutation to come back. */
export function suspicionMinMs({ probeIntervalMs, suspicionMult, members }: SuspicionTimes): number {
  return suspicionMult * Math.max(1, Math.log10(members)) * probeIntervalMs
}

/** How many members besides the first must accuse for the shortest time; 0 where there are too few to ask of. */
export function confirmationsNeeded({ suspicionMult, members }: SuspicionTimes): number {
  const needed = Math.min(suspicionMult - 2, limits.swimAccusersMax - 1)
  return needed > members - 2 ? 0 : Math.max(0, needed)
}

/**
 * How long a suspicion runs: Lifeguard's dogpile. One accuser may itself be the one that is cut off, so a suspicion
 * that nobody confirms runs `swimSuspicionMaxMult` times as long as one that enough others do. A node in doubt of
 * itself waits longer, but never longer than that: where many have failed at once nobody is left to confirm anything.
 */
export function suspicionTimeoutMs(suspicion: Suspicion, times: SuspicionTimes): number {
  const min = suspicionMinMs(times)
  const max = min * limits.swimSuspicionMaxMult
  const needed = suspicion.confirmed ? 0 : confirmationsNeeded(times)
  const confirmations = Math.min(needed, Math.max(0, suspicion.accusers.length - 1))
  const shrunk = needed === 0 ? 1 : Math.log(confirmations + 1) / Math.log(needed + 1)
  return Math.min(max, (max - (max - min) * shrunk) * suspicion.factor)
}

/** The union of both in order, cut to what counts; `known` itself where that has nothing new. */
export function mergeAccusers(known: readonly number[], told: readonly number[], most: number): readonly number[] {
  const fresh = told.filter((accuser, at) => !known.includes(accuser) && told.indexOf(accuser) === at)
  return fresh.length === 0 || known.length >= most ? known : [...known, ...fresh].slice(0, most)
}

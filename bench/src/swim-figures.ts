import { limits } from '@quorumkv/internal/base'
import { SwimModel } from './swim-model.js'

/** How long something took over several trials, in milliseconds of virtual time. */
export interface Spread {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

/** A node is killed, over and over: from then until the first other node holds it for dead, and until all do. */
export interface DetectionFigures {
  readonly nodes: number
  readonly loss: number
  readonly trials: number
  readonly firstMs: Spread
  readonly allMs: Spread
  /** From the start of a new process until nobody holds it for dead any more. */
  readonly returnMs: Spread
}

/** Nobody fails, but the network loses messages. */
export interface QuietFigures {
  readonly nodes: number
  readonly loss: number
  readonly minutes: number
  /** How often a node was suspected that was there, each time once however many heard of it. */
  readonly suspicions: number
  /** How often a node that was there was held for dead by another one. */
  readonly deaths: number
  readonly messagesPerNodeSecond: number
  readonly bytesPerNodeSecond: number
  readonly largestBytes: number
}

/**
 * One node stands still for 5 s of about every 20 s, at other moments of its round each time. Messages take up to a
 * fifth of a second, so that it is often in the middle of a probe.
 */
export interface PauseFigures {
  readonly nodes: number
  readonly pauses: number
  /** Nodes other than the paused one that somebody suspected, or held for dead. */
  readonly othersSuspected: number
  readonly othersDead: number
  /** Pauses in which somebody held the paused node for dead. */
  readonly pausesDead: number
}

/** The cluster is cut in two halves for two minutes. */
export interface PartitionFigures {
  readonly nodes: number
  readonly trials: number
  /** From the end of the partition until everybody holds everybody for alive. */
  readonly healMs: Spread
}

const settleMs = 10_000
const patienceMs = 600_000

export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
  return { p50: at(0.5), p99: at(0.99), max: at(1) }
}

/** Lets time pass until the condition holds; what never comes about is a fault of the detector, or of the model. */
function until(model: SwimModel, what: string, condition: () => boolean): number {
  const fromMs = model.nowMs
  if (!model.runUntil(condition, patienceMs)) throw new Error(`${what}: not within ${patienceMs / 1000} s`)
  return model.nowMs - fromMs
}

export function measureDetection(nodes: number, loss: number, trials: number, seed: string): DetectionFigures {
  const model = new SwimModel({ nodes, loss, seed: `${seed}/detection` })
  const first: number[] = []
  const all: number[] = []
  const back: number[] = []
  model.run(settleMs)
  for (let trial = 0; trial < trials; trial++) {
    const victim = (trial % nodes) + 1
    // Not always at the same moment of anybody's round.
    model.run(1_000 + ((trial * 377) % 1_000))
    const { nowMs } = model
    model.events.length = 0
    model.kill(victim)
    all.push(until(model, 'all know', () => model.allThink(victim, 'dead')))
    const found = model.events.find(({ kind, number }) => kind === 'dead' && number === victim)
    first.push((found?.atMs ?? Number.NaN) - nowMs)
    model.start(victim)
    back.push(until(model, 'back', () => model.nobodyThinks(victim, 'dead')))
  }
  return { nodes, loss, trials, firstMs: spread(first), allMs: spread(all), returnMs: spread(back) }
}

export function measureQuiet(nodes: number, loss: number, minutes: number, seed: string): QuietFigures {
  const model = new SwimModel({ nodes, loss, seed: `${seed}/quiet` })
  model.run(settleMs)
  model.events.length = 0
  model.suspicions.clear()
  Object.assign(model.traffic, { messages: 0, bytes: 0, largestBytes: 0 })
  model.run(minutes * 60_000)
  const nodeSeconds = nodes * minutes * 60
  const { messages, bytes, largestBytes } = model.traffic
  return {
    nodes,
    loss,
    minutes,
    suspicions: model.suspicions.size,
    deaths: model.events.filter(({ kind }) => kind === 'dead').length,
    messagesPerNodeSecond: messages / nodeSeconds,
    bytesPerNodeSecond: bytes / nodeSeconds,
    largestBytes,
  }
}

export function measurePauses(nodes: number, pauses: number, seed: string): PauseFigures {
  const model = new SwimModel({ nodes, seed: `${seed}/pauses`, delayMs: [20, 220] })
  model.run(settleMs)
  model.events.length = 0
  let pausesDead = 0
  for (let n = 0; n < pauses; n++) {
    const before = model.events.length
    model.pause(1, 5_000)
    model.run(16_500 + ((n * 1_370) % 7_000))
    if (model.events.slice(before).some(({ kind, number }) => kind === 'dead' && number === 1)) pausesDead++
  }
  const others = model.events.filter(({ number }) => number !== 1)
  const count = (wanted: string): number => others.filter(({ kind }) => kind === wanted).length
  return { nodes, pauses, othersSuspected: count('suspect'), othersDead: count('dead'), pausesDead }
}

export function measurePartition(nodes: number, trials: number, seed: string): PartitionFigures {
  const heal: number[] = []
  for (let trial = 0; trial < trials; trial++) {
    const model = new SwimModel({ nodes, seed: `${seed}/partition/${trial}` })
    model.run(settleMs)
    model.part(
      [],
      Array.from({ length: Math.floor(nodes / 2) }, (_, at) => at + 1),
    )
    model.run(120_000 + ((trial * 377) % limits.swimRejoinIntervalMs))
    model.heal()
    heal.push(until(model, 'healed', () => model.allWell()))
  }
  return { nodes, trials, healMs: spread(heal) }
}

import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Environment, readEnvironment, textTable } from '@quorumkv/cli/bench'
import type { Node } from '@quorumkv/internal/cluster'
import type { FsyncPolicy } from '@quorumkv/internal/store'
import { formatEnvironment } from '../environment-text.js'
import { limits } from '../limits.js'
import { formatFigure } from '../store-format.js'
import { KeyChooser, keyBytes, valueBytes, writeKey } from '../store-records.js'
import { startNodes } from './nodes.js'

/** What `path` was asked to do. */
export interface PathSettings {
  /** Sizes of the clusters: with one node there is no message, only the coordinator and the store. */
  readonly nodes: readonly number[]
  readonly inFlight: readonly number[]
  readonly rounds: number
  /** Of each operation in each round. */
  readonly seconds: number
  readonly keys: number
  /** Where the files are; undefined: in memory. */
  readonly dataDir: string | undefined
  readonly fsync: FsyncPolicy
  readonly seed: string
  readonly json: boolean
}

type OperationKind = 'put' | 'get'

/** One operation of one kind, all nodes taken together. */
export interface PathResult {
  readonly nodes: number
  readonly inFlight: number
  readonly operation: OperationKind
  /** Processor time of the whole process, user and system: the least and the median of the rounds. */
  readonly cpuUsMin: number
  readonly cpuUsMedian: number
  /** By the clock, of the median round. */
  readonly perSecond: number
}

/** What was measured, and on what. */
export interface PathReport {
  readonly benchmark: 'path'
  readonly startedAt: string
  readonly environment: Environment
  readonly results: readonly PathResult[]
}

interface Round {
  readonly cpuUs: number
  readonly perSecond: number
}

const deadlineMs = 10_000

/** Puts and gets at quorum, a fixed number at a time, each lane at a node of its own choice. */
class Load {
  readonly #nodes: readonly Node[]
  readonly #chooser: KeyChooser
  readonly #value: Uint8Array = new Uint8Array(valueBytes).fill(118)

  constructor(nodes: readonly Node[], keys: number, seed: string) {
    this.#nodes = nodes
    this.#chooser = new KeyChooser(keys, seed)
  }

  /** Puts every key once. */
  async fill(keys: number): Promise<void> {
    let next = 0
    const lane = async (node: Node): Promise<void> => {
      while (next < keys) await this.#put(node, next++)
    }
    await Promise.all(Array.from({ length: 256 }, (_, i) => lane(this.#nodes[i % this.#nodes.length]!)))
  }

  async run(kind: OperationKind, inFlight: number, seconds: number, signal: AbortSignal): Promise<Round> {
    const begun = performance.now()
    const before = process.cpuUsage()
    const endMs = begun + seconds * 1000
    let done = 0
    const lane = async (node: Node): Promise<void> => {
      while (performance.now() < endMs) {
        signal.throwIfAborted()
        if (kind === 'put') await this.#put(node, this.#chooser.next())
        else await this.#get(node, this.#chooser.next())
        done++
      }
    }
    await Promise.all(Array.from({ length: inFlight }, (_, i) => lane(this.#nodes[i % this.#nodes.length]!)))
    const { user, system } = process.cpuUsage(before)
    return { cpuUs: (user + system) / done, perSecond: (done / (performance.now() - begun)) * 1000 }
  }

  async #put(node: Node, number: number): Promise<void> {
    await node.put(keyOf(number), this.#value, { consistency: 'quorum', deadlineMs: performance.now() + deadlineMs })
  }

  async #get(node: Node, number: number): Promise<void> {
    const options = { consistency: 'quorum', deadlineMs: performance.now() + deadlineMs } as const
    const record = await node.get(keyOf(number), options)
    if (record?.value.length !== valueBytes) throw new Error(`key ${number} is missing or has another's value`)
  }
}

function keyOf(number: number): Uint8Array {
  const key = new Uint8Array(keyBytes)
  writeKey(number, key)
  return key
}

/**
 * What an operation costs inside nodes: coordinator, replicas, messages and store, without gRPC and sockets and, unless
 * a directory is given, without a disk. All nodes and the load are in this process, so its processor time is all that there is.
 */
export async function runPathBenchmark(settings: PathSettings, signal: AbortSignal): Promise<PathReport> {
  const startedAt = new Date().toISOString()
  const environment = await readEnvironment()
  const results: PathResult[] = []
  // Nodes' timers let a process end, and here there is no socket that would keep it.
  const alive = setInterval(() => undefined, limits.secondsMax * 1000)
  try {
    for (const nodes of settings.nodes) results.push(...(await measureCluster(nodes, settings, signal)))
  } finally {
    clearInterval(alive)
  }
  return { benchmark: 'path', startedAt, environment, results }
}

async function measureCluster(size: number, settings: PathSettings, signal: AbortSignal): Promise<PathResult[]> {
  const { inFlight, rounds, seconds, keys, dataDir, fsync, seed } = settings
  const directory = dataDir === undefined ? undefined : await mkdtemp(join(dataDir, 'quorumkv-bench-path-'))
  try {
    const nodes = await startNodes({ nodes: size, directory, fsync })
    try {
      const load = new Load(nodes, keys, seed)
      await load.fill(keys)
      const cases = inFlight.flatMap((count) => (['put', 'get'] as const).map((kind) => ({ kind, count })))
      const measured: Round[][] = cases.map(() => [])
      // The first round warms up. Cases take turns, so that a busy spell of the machine does not fall on one of them.
      for (let round = 0; round <= rounds; round++) {
        for (const [i, { kind, count }] of cases.entries()) {
          const result = await load.run(kind, count, seconds, signal)
          if (round > 0) measured[i]!.push(result)
        }
      }
      return cases.map(({ kind, count }, i) => ({
        nodes: size,
        inFlight: count,
        operation: kind,
        ...summary(measured[i]!),
      }))
    } finally {
      await Promise.all(nodes.map((node) => node.stop(0)))
    }
  } finally {
    if (directory !== undefined) await rm(directory, { recursive: true, force: true })
  }
}

function summary(rounds: readonly Round[]): Pick<PathResult, 'cpuUsMin' | 'cpuUsMedian' | 'perSecond'> {
  const sorted = [...rounds].sort((a, b) => a.cpuUs - b.cpuUs)
  const { cpuUs, perSecond } = sorted[sorted.length >>> 1]!
  return { cpuUsMin: sorted[0]!.cpuUs, cpuUsMedian: cpuUs, perSecond }
}

/** The report for people. */
export function formatPathReport({ startedAt, environment, results }: PathReport): string {
  const head = ['nodes', 'in flight', 'operation', 'CPU µs, least', 'median', 'a second']
  const rows = results.map(({ nodes, inFlight, operation, cpuUsMin, cpuUsMedian, perSecond }) => {
    return [String(nodes), String(inFlight), operation, ...[cpuUsMin, cpuUsMedian, perSecond].map(formatFigure)]
  })
  return `${formatEnvironment(startedAt, environment)}\n\n${textTable([head, ...rows], 3)}\n`
}

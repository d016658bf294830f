import type { FsyncPolicy } from '@quorumkv/internal/store'
import type { FigureName } from './store-report.js'
import type { Task } from './store-task.js'

/** What gives one section of the report: tasks on one directory, each in a process of its own. */
export interface Step {
  readonly figure: FigureName
  readonly title: string
  readonly tasks: readonly Task[]
}

interface Sizes {
  readonly stress: {
    readonly keys: number
    readonly operations: number
    readonly windowMs: number
    readonly windows: number
  }
  readonly putGet: {
    readonly keys: readonly number[]
    readonly puts: number
    readonly gets: number
    readonly rounds: number
  }
  readonly memory: { readonly entries: readonly number[] }
  readonly snapshot: { readonly entries: number; readonly aloneMs: number }
  readonly recovery: { readonly entries: number; readonly logEntries: number }
  readonly commits: { readonly keys: number; readonly warmUpMs: number; readonly durationMs: number }
}

const full: Sizes = {
  stress: { keys: 1_000_000, operations: 5_000_000, windowMs: 5000, windows: 5 },
  putGet: { keys: [100_000, 1_000_000], puts: 1_000_000, gets: 2_000_000, rounds: 5 },
  memory: { entries: [1_000_000, 10_000_000, 20_000_000] },
  snapshot: { entries: 5_000_000, aloneMs: 5000 },
  recovery: { entries: 5_000_000, logEntries: 1_000_000 },
  commits: { keys: 100_000, warmUpMs: 500, durationMs: 5000 },
}

/** The shape of the full form in less than half a minute; what needs many entries looks better in it. */
const quick: Sizes = {
  stress: { keys: 200_000, operations: 500_000, windowMs: 300, windows: 4 },
  putGet: { keys: [100_000, 1_000_000], puts: 150_000, gets: 400_000, rounds: 3 },
  memory: { entries: [1_000_000] },
  snapshot: { entries: 200_000, aloneMs: 500 },
  recovery: { entries: 1_000_000, logEntries: 200_000 },
  commits: { keys: 20_000, warmUpMs: 200, durationMs: 600 },
}

/** As replication commits: what came in one message is one commit, and several messages are on their way. */
const commits = { batchRecords: 64, commitsInFlight: 16 } as const
/** What a message of a peer holds when it has little to do and when it has much. */
const messages = { batches: [32, 256], recordsInFlight: 2048 } as const
const writers = [1, 16, 256] as const

export interface PlanOptions {
  readonly figures: readonly FigureName[]
  readonly quick: boolean
  /** Of what is measured under more than one policy. */
  readonly fsync: readonly FsyncPolicy[]
}

/** What is to be done for these figures, in order. */
export function planOf({ figures, quick: isQuick, fsync }: PlanOptions): Step[] {
  const sizes = isQuick ? quick : full
  return figures.flatMap((figure) => stepsOf[figure](sizes, fsync))
}

const stepsOf: Readonly<Record<FigureName, (sizes: Sizes, fsync: readonly FsyncPolicy[]) => Step[]>> = {
  stress: ({ stress: { keys, operations, windowMs, windows } }, fsync) =>
    fsync.map((policy) => ({
      figure: 'stress',
      title: `get and put, half and half, of ${many(keys)} keys; ${inBatches}, fsync ${policy}, snapshots by size`,
      tasks: [{ kind: 'stress', fsync: policy, keys, operations, windows: { windowMs, count: windows }, ...commits }],
    })),
  'put-get': ({ putGet: { keys, puts, gets, rounds } }, fsync) =>
    keys.flatMap((count) =>
      fsync.map((policy, i) => ({
        figure: 'put-get',
        title: `one kind at a time, ${many(count)} keys; ${inFlight}, fsync ${policy}; median of ${rounds} rounds`,
        // Gets have nothing to do with fsync: once is enough.
        tasks: [{ kind: 'put-get', fsync: policy, keys: count, puts, gets: i === 0 ? gets : 0, rounds, ...messages }],
      })),
    ),
  memory: ({ memory }) =>
    memory.entries.map((entries) => ({
      figure: 'memory',
      title: `bytes for each of ${many(entries)} entries`,
      tasks: [{ kind: 'memory', entries }],
    })),
  snapshot: ({ snapshot: { entries, aloneMs } }) => [
    {
      figure: 'snapshot',
      title: `${many(entries)} entries; load: gets and puts, 16 puts a commit, 4 commits in flight, fsync always`,
      tasks: [{ kind: 'snapshot', entries, aloneMs }],
    },
  ],
  recovery: ({ recovery: { entries, logEntries } }) => [
    recoveryStep(entries, 'snapshot'),
    recoveryStep(logEntries, 'log'),
  ],
  commits: ({ commits: { keys, warmUpMs, durationMs } }) => [
    {
      figure: 'commits',
      title: `one record a commit, ${many(keys)} keys, fsync always`,
      tasks: [{ kind: 'commits', keys, writers, warmUpMs, durationMs }],
    },
  ],
}

function recoveryStep(entries: number, from: 'snapshot' | 'log'): Step {
  return {
    figure: 'recovery',
    title: `${many(entries)} entries, by a process that has just started`,
    tasks: [
      { kind: 'fill', entries, snapshot: from === 'snapshot' },
      { kind: 'recover', entries, from },
    ],
  }
}

const inFlight = `${many(messages.recordsInFlight)} puts in flight`
const inBatches = `${commits.batchRecords} puts a commit, ${commits.commitsInFlight} commits in flight`

function many(count: number): string {
  return count.toLocaleString('en-US')
}

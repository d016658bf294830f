import { unreachable } from '@quorumkv/internal/base'
import { type CommitsTask, measureCommits } from './store-commits.js'
import { type MemoryTask, measureMemory } from './store-memory.js'
import { measurePutGet, type PutGetTask } from './store-put-get.js'
import { type FillTask, fillForRecovery, measureRecovery, type RecoverTask } from './store-recovery.js'
import type { Measurement } from './store-report.js'
import { measureSnapshot, type SnapshotTask } from './store-snapshot.js'
import { measureStress, type StressTask } from './store-stress.js'

/** What one process does. */
export type Task = StressTask | PutGetTask | MemoryTask | SnapshotTask | FillTask | RecoverTask | CommitsTask

/** A task, and what it works with. */
export interface Job {
  readonly task: Task
  /** Where the store's files are kept. */
  readonly directory: string
  readonly seed: string
}

/** What a process answers to its job. */
export type Answer = { readonly measurements: readonly Measurement[] } | { readonly failure: string }

export function perform({ task, directory, seed }: Job): Promise<readonly Measurement[]> {
  switch (task.kind) {
    case 'stress':
      return measureStress(task, directory, seed)
    case 'put-get':
      return measurePutGet(task, directory, seed)
    case 'memory':
      return measureMemory(task, directory, seed)
    case 'snapshot':
      return measureSnapshot(task, directory, seed)
    case 'fill':
      return fillForRecovery(task, directory, seed)
    case 'recover':
      return measureRecovery(task, directory)
    case 'commits':
      return measureCommits(task, directory, seed)
    default:
      return unreachable(task)
  }
}

import { fileSystemOf, readEnvironment } from '@quorumkv/cli/bench'
import type { StoreSettings } from './store-options.js'
import { planOf } from './store-plan.js'
import { TaskRunner } from './store-process.js'
import { keyBytes, valueBytes } from './store-records.js'
import { judge, type Section, type StoreReport } from './store-report.js'

/**
 * Measures the store of one node, without network or replication, on the real disk. Rejects when the store fails or
 * gives back something wrong, or with the reason of `signal`. A missed budget is in the report and is no failure.
 */
export async function runStoreBenchmark(
  settings: StoreSettings,
  signal: AbortSignal,
  progress: (text: string) => void,
): Promise<StoreReport> {
  const { quick, dataDir, seed } = settings
  const startedAt = new Date().toISOString()
  const environment = await readEnvironment()
  const fileSystem = await fileSystemOf(dataDir)
  await using runner = await TaskRunner.create(dataDir, seed, signal)
  const sections: Section[] = []
  for (const { figure, title, tasks } of planOf(settings)) {
    progress(`${figure}: ${title} …`)
    sections.push({ figure, title, measurements: (await runner.run(tasks)).map(judge) })
  }
  const form = quick ? 'quick' : 'full'
  return { benchmark: 'store', startedAt, form, environment, fileSystem, keyBytes, valueBytes, seed, sections }
}

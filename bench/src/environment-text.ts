import { type Environment, textTable } from '@quorumkv/cli/bench'

/** When a benchmark was started and on what, with further `[name, value]` lines, for people. */
export function formatEnvironment(
  startedAt: string,
  environment: Environment,
  more: readonly (readonly [name: string, value: string])[] = [],
): string {
  const { cpu, cores, memoryBytes, loadAverage, os, node, commit } = environment
  const memory = `${(memoryBytes / 2 ** 30).toFixed(0)} GiB`
  const machine = `${cpu}, ${cores} cores, ${memory}, ${os}, load average ${loadAverage.toFixed(1)} before`
  const rows = [
    ['started', startedAt],
    ['machine', machine],
    ['program', `Node ${node}, commit ${commit ?? 'unknown'}`],
    ...more,
  ]
  return textTable(rows, 2)
}

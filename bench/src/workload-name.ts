import { parseWorkload } from '@quorumkv/cli/bench'
import { InvalidArgumentError } from 'commander'

/** Reads the name of a workload that has no scans. Throws commander's InvalidArgumentError. */
export function workloadName(text: string): string {
  let workload: ReturnType<typeof parseWorkload>
  try {
    workload = parseWorkload(text, 'workload')
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message)
  }
  if (workload.mix.scan !== undefined) throw new InvalidArgumentError(`${text} scans, which not all targets can.`)
  return workload.name
}

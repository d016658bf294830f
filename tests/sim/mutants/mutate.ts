import type { Mutant } from './mutant.js'

/** The text with the bug in it. Throws where the place to be changed is not there exactly once. */
export function mutate(source: string, { name, file, find, replace }: Mutant): string {
  const parts = source.split(find)
  if (parts.length !== 2) throw new Error(`mutant ${name}: ${parts.length - 1} places in ${file} read\n${find}`)
  return parts.join(replace)
}

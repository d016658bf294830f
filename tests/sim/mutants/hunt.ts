import { writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { faultsOf, playInThread } from '../crew.js'
import { mutants, mutantsElsewhere } from './mutants.js'
import { type Found, mutantSeeds } from './seeds.js'

/** A bug that fresh seeds do not find within so many is not found at all. */
export const huntSeedsMax = 500

/** Whether a planted bug is looked for among plays in which members come and go. */
export function needsChanges(name: string): boolean {
  return mutants.find((mutant) => mutant.name === name)?.changes === true
}

/** Plays fresh seeds with a planted bug until one finds it; undefined: none of `seedsMax` does. */
export async function hunt(name: string, from: number, seedsMax: number): Promise<Found | undefined> {
  let found: Found | undefined
  let played = 0
  const next = (): number | undefined => (found !== undefined || played >= seedsMax ? undefined : from + played++)
  await playInThread({ mutant: name, changes: needsChanges(name) }, next, (each) => {
    const [first] = faultsOf(each)
    if (first !== undefined) found ??= { seed: each.seed, needed: played, how: shortened(first) }
  })
  return found
}

function shortened(fault: string): string {
  const line = fault.split('\n', 1)[0]!
  return line.length > 100 ? `${line.slice(0, 97)}...` : line
}

/** Hunts for these bugs, or for all, and writes down which seed has found each. Whether all were found. */
export async function findMutants(
  names: readonly string[],
  from: number,
  seedsMax: number,
  jobs: number,
  tell: (line: string) => void,
): Promise<boolean> {
  const wanted = mutants.map(({ name }) => name).filter((name) => names.length === 0 || names.includes(name))
  const queue = [...wanted]
  const seeds: Record<string, Found> = {}
  for (const { name } of mutants) if (mutantSeeds[name] !== undefined) seeds[name] = mutantSeeds[name]
  for (const name of wanted) delete seeds[name]
  const work = async (): Promise<void> => {
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
      const found = await hunt(name, from, seedsMax)
      if (found !== undefined) seeds[name] = found
      // At once: a hunt takes its time, and may be broken off.
      await writeSeeds(seeds)
      tell(
        `${name.padEnd(32)} ${found === undefined ? 'NOT FOUND' : `seed ${found.seed} (${found.needed}): ${found.how}`}`,
      )
    }
  }
  await Promise.all(Array.from({ length: jobs }, work))

  return wanted.every((name) => seeds[name] !== undefined)
}

/** Into the sources, whichever of the two trees this runs in. */
async function writeSeeds(seeds: Readonly<Record<string, Found>>): Promise<void> {
  const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
  const lines = mutants.flatMap(({ name }) => {
    const found = seeds[name]
    if (found === undefined) return []
    const { seed, needed, how } = found
    return [`  ${quoted(name)}: {\n    seed: ${seed},\n    needed: ${needed},\n    how: ${quoted(how)},\n  },\n`]
  })
  const text = `/** Which seed finds a planted bug. Written by \`npm run sim -- --find-mutants\`. */
export interface Found {
  readonly seed: number
  /** So many fresh seeds were played until one found it; undefined: this one was chosen by what it draws. */
  readonly needed: number | undefined
  /** The first thing that was found wrong. */
  readonly how: string
}

export const mutantSeeds: Readonly<Record<string, Found>> = {
${lines.join('')}}
`
  await writeFile(fileURLToPath(new URL('../../../sim/mutants/seeds.ts', import.meta.url)), text)
}

/** One line for each bug that can be planted: name, seed, how many seeds it took, hazard, how it was found. */
export function mutantTable(): string {
  const rows = mutants.map(({ name, hazard }) => {
    const found = mutantSeeds[name]
    const seed =
      found === undefined
        ? 'never found'.padEnd(24)
        : `${found.seed}`.padStart(11) + `${found.needed ?? 'chosen'}`.padStart(13)
    return `${name.padEnd(32)} ${seed}  ${hazard}`
  })
  const elsewhere = mutantsElsewhere.map(({ name, hazard, why, test: { path, title } }) =>
    [`${name.padEnd(32)} ${hazard}`, `  ${why}`, `  ${path} “${title}”`].join('\n'),
  )
  return [
    `${'name'.padEnd(32)}        seed seeds needed  hazard`,
    ...rows,
    '',
    'not to be found by a play, and what shows it',
    ...elsewhere,
    '',
  ].join('\n')
}

import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { type CrewOptions, failureOf, faultsOf, type Played, playInThread } from './crew.js'
import { failedSeeds, failedSeedsOfChanges } from './failed-seeds.js'
import { needsChanges } from './mutants/hunt.js'
import { mutants, mutantsElsewhere } from './mutants/mutants.js'
import { mutate } from './mutants/mutate.js'
import { mutantSeeds } from './mutants/seeds.js'
import type { ChangeCounts } from './play/topology-history.js'

/*
 * The short form of `npm run sim`: whole clusters in virtual time, under faults. Runs on what was built, in threads.
 */

const threads = 2
const freshSeeds = Array.from({ length: 80 }, (_, i) => i + 1)
const seedsOfChanges = [...Array.from({ length: 12 }, (_, i) => i + 1), ...failedSeedsOfChanges.map(([seed]) => seed)]
const seedsWithoutAtlas = Array.from({ length: 10 }, (_, i) => i + 1)
const seedsPlayedTwice = [11, 12, 13]

async function play(seeds: readonly number[], options: CrewOptions): Promise<Played[]> {
  const queue = [...seeds]
  const played: Played[] = []
  const work = (): Promise<void> =>
    playInThread(
      options,
      () => queue.shift(),
      (each) => played.push(each),
    )
  await Promise.all(Array.from({ length: threads }, work))
  return played
}

function failures(played: readonly Played[], options: CrewOptions): string {
  return played.map((each) => failureOf(each, options)).join('')
}

test('fresh seeds, and every seed that has ever failed: nothing that clients were told is ever unsaid', async () => {
  const seeds = new Set([...freshSeeds, ...failedSeeds.map(([seed]) => seed)])
  const played = await play([...seeds], {})
  expect(failures(played, {})).toBe('')
  expect(played.length).toBe(seeds.size)
  const checked = played.reduce((sum, { report }) => sum + report!.checked, 0)
  const acknowledged = played.reduce((sum, { report }) => sum + report!.acknowledged, 0)
  // Against a play in which nothing happens any more.
  expect(checked).toBeGreaterThan(50 * seeds.size)
  expect(acknowledged).toBeGreaterThan(20 * seeds.size)
}, 600_000)

test('while members join, leave, die for good and are replaced, nothing that clients were told is ever unsaid', async () => {
  const options = { changes: true }
  const played = await play(seedsOfChanges, options)
  expect(failures(played, options)).toBe('')
  const sum = (kind: keyof ChangeCounts): number => played.reduce((all, { report }) => all + report!.changes[kind], 0)
  const [joins, leaves, removals, replacements] = [sum('joins'), sum('leaves'), sum('removals'), sum('replacements')]
  process.stdout.write(
    `${played.length} plays of changes: ${joins} joins, ${leaves} leaves, ${removals} removals, ${replacements} replacements, ` +
      `${sum('reweights')} reweights, ${sum('moves')} moves, ${sum('returns')} returns, ${sum('cancels')} cancels, ${sum('epochs')} epochs\n`,
  )
  // Against a play in which nothing happens any more.
  expect(joins + leaves + removals + replacements).toBeGreaterThanOrEqual(100)
}, 600_000)

test('where any disk may be damaged, nothing is told that nobody wrote, and nobody dies of a bug', async () => {
  const options = { atlas: false }
  expect(failures(await play(seedsWithoutAtlas, options), options)).toBe('')
}, 300_000)

test('a seed is one play, bit for bit', async () => {
  // A play of changes takes five times as long.
  for (const changes of [false, true]) {
    const options = { twice: true, changes }
    const seeds = changes ? seedsPlayedTwice.slice(0, 1) : seedsPlayedTwice
    const played = await play(seeds, options)
    expect(failures(played, options)).toBe('')
    expect(new Set(played.map(({ report }) => report!.hash)).size).toBe(seeds.length)
  }
}, 300_000)

test.each([...mutants, ...mutantsElsewhere])('the place for $name is there, once', (mutant) => {
  const path = new URL(`../../internal/dist/${mutant.file}`, import.meta.url)
  const source = readFileSync(path, 'utf8')
  expect(mutate(source, mutant)).not.toBe(source)
})

test.each(mutantsElsewhere)('the test that shows $name is there', ({ test: { path, title } }) => {
  expect(readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')).toContain(`test('${title}'`)
})

/** Where a kept seed no longer finds its bug, because the play or the times of messages have changed, so many more may. */
const moreSeeds = 25

test('every bug that was found once is found again, by the seed that is kept for it or soon', async () => {
  expect(Object.keys(mutantSeeds).length).toBeGreaterThanOrEqual(25)
  const missed: string[] = []
  const stale: string[] = []
  const queue = Object.entries(mutantSeeds)
  const work = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const [mutant, { seed }] = next
      let played = 0
      let found = false
      await playInThread(
        { mutant, changes: needsChanges(mutant) },
        () => (found || played > moreSeeds ? undefined : seed + played++),
        (each) => {
          found ||= faultsOf(each).length > 0
        },
      )
      if (!found) missed.push(mutant)
      else if (played > 1) stale.push(mutant)
    }
  }
  await Promise.all(Array.from({ length: threads }, work))
  if (stale.length > 0) process.stdout.write(`new seeds are due: npm run sim -- --find-mutants ${stale.join(' ')}\n`)
  expect(missed).toEqual([])
}, 900_000)

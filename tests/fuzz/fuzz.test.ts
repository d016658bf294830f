import { describe, expect, test } from 'vitest'
import { drawSeed, environmentNumber } from '../crash/report.js'
import { failureText, figuresText, Judge } from './judge.js'
import { targets } from './targets/index.js'

const casesAskedFor = environmentNumber('KV_FUZZ_CASES')
/** In all, in the short form. */
const cases = casesAskedFor ?? 101_000
const seed = String(drawSeed(casesAskedFor !== undefined))
/** One target, or several with commas between them. */
const only = process.env['KV_FUZZ_TARGET']?.split(',')
const index = process.env['KV_FUZZ_CASE']
const minutes = environmentNumber('KV_FUZZ_MINUTES')
const endMs = minutes === undefined ? undefined : performance.now() + minutes * 60_000

const chosen = targets.filter(({ name }) => only === undefined || only.includes(name))
if (chosen.length === 0)
  throw new Error(`there is no target ${only}; there are ${targets.map(({ name }) => name).join(', ')}`)
const shares = chosen.reduce((sum, { share }) => sum + share, 0)

describe('what others have written', () => {
  test.for(chosen)('$name: taken or refused, nothing else', { timeout: 3_600_000 }, async (target) => {
    await using judge = new Judge()
    // What is left of the time is shared by those that are left.
    const left = chosen.length - chosen.indexOf(target)
    const forMs = endMs === undefined ? undefined : Math.max(1_000, (endMs - performance.now()) / left)
    const figures = await judge.run(target, {
      seed,
      cases: Math.ceil((cases * target.share) / shares),
      index: index === undefined ? undefined : Number(index),
      forMs,
    })
    process.stdout.write(`fuzz KV_SEED=${seed} ${figuresText(figures)}\n`)
    expect(figures.failures.map(failureText).join('\n\n')).toBe('')
    expect(figures.cases).toBeGreaterThan(0)
  })
})

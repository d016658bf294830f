// `npm run fuzz`: the long form of tests/fuzz.
//
//   npm run fuzz -- [--cases N] [--minutes M] [--target NAME[,NAME…]] [--seed S] [--case I] [what vitest takes]
//
// --cases: in all, shared among the targets (1,000,000); --minutes: no case begins later; --case: this one alone.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const variables = {
  '--cases': 'KV_FUZZ_CASES',
  '--minutes': 'KV_FUZZ_MINUTES',
  '--target': 'KV_FUZZ_TARGET',
  '--seed': 'KV_SEED',
  '--case': 'KV_FUZZ_CASE',
}
const environment = { KV_FUZZ_CASES: '1000000', ...process.env }
const forVitest = []
const given = process.argv.slice(2)
while (given.length > 0) {
  const argument = given.shift()
  if (Object.hasOwn(variables, argument)) environment[variables[argument]] = given.shift() ?? ''
  else forVitest.push(argument)
}
const vitest = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url))
const file = 'tests/fuzz/fuzz.test.ts'
const { status, error } = spawnSync(process.execPath, [vitest, 'run', '--project', 'fuzz', file, ...forVitest], {
  env: environment,
  stdio: 'inherit',
})
if (error !== undefined) throw error
process.exitCode = status ?? 1

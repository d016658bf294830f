// `npm run test:crash`: the long form of the suites below tests/crash.
//
//   npm run test:crash -- [--seed S] [--workloads N | --workload I] [--seconds N] [--records FILE] [--short] [what vitest takes: a path, -t 'a name' …]
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const environment = { ...process.env, KV_CRASH: 'long' }
const forVitest = []
const given = process.argv.slice(2)
while (given.length > 0) {
  const argument = given.shift()
  if (argument === '--seed') environment.KV_SEED = given.shift() ?? ''
  else if (argument === '--workloads') environment.KV_WORKLOADS = given.shift() ?? ''
  else if (argument === '--workload') environment.KV_WORKLOAD = given.shift() ?? ''
  else if (argument === '--seconds') environment.KV_SECONDS = given.shift() ?? ''
  else if (argument === '--records') environment.KV_RECORDS = given.shift() ?? ''
  else if (argument === '--short') delete environment.KV_CRASH
  else forVitest.push(argument)
}
const vitest = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url))
const { status, error } = spawnSync(process.execPath, [vitest, 'run', '--project', 'crash', ...forVitest], {
  env: environment,
  stdio: 'inherit',
})
if (error !== undefined) throw error
process.exitCode = status ?? 1

// `npm run test:flood`: the long form of tests/flood.
//
//   npm run test:flood -- [--attack NAME[,NAME…]] [--json FILE] [--tls] [--short] [what vitest takes]
import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const environment = { ...process.env, KV_FLOOD: 'long' }
const forVitest = []
const given = process.argv.slice(2)
while (given.length > 0) {
  const argument = given.shift()
  if (argument === '--attack') environment.KV_FLOOD_ATTACK = given.shift() ?? ''
  else if (argument === '--json') environment.KV_FLOOD_JSON = resolve(given.shift() ?? '')
  else if (argument === '--tls') environment.KV_FLOOD_TLS = '1'
  else if (argument === '--short') delete environment.KV_FLOOD
  else forVitest.push(argument)
}
const vitest = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url))
const { status, error } = spawnSync(process.execPath, [vitest, 'run', '--project', 'flood', ...forVitest], {
  env: environment,
  stdio: 'inherit',
})
if (error !== undefined) throw error
process.exitCode = status ?? 1

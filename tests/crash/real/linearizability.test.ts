import { KvError } from '@quorumkv/client'
import { SimRandom } from '@quorumkv/internal/env-sim'
import { expect, it } from 'vitest'
import { makeClient, startServers, type TestServer } from '../../fixtures.js'
import { environmentNumber, longForm, Report, seed } from '../report.js'
import { Nemesis } from './nemesis.js'
import { Registers } from './registers.js'

const report = new Report('linearizability of real processes')
const random = new SimRandom(seed)
/** `KV_SECONDS`, `--seconds`: how long the clients work. */
const durationMs = 1_000 * (environmentNumber('KV_SECONDS') ?? (longForm ? 600 : 14))
const roundMs = longForm ? 15_000 : 4_500
/** A refill takes a while, among all the rest: shorter runs wipe nobody. */
const wipingFromMs = 60_000
/** The smallest: several snapshots, each with its trim of the log, in the life of one process. */
const flags = ['--snapshot-wal-bytes', '1MiB']

it('nodes killed, stopped and wiped at random: every key stays one register, and nothing acknowledged is lost', async () => {
  await using cluster = await startServers(3, { flags })
  const { servers, addresses } = cluster
  const clients = Array.from({ length: 4 }, () => makeClient(addresses))
  const ofOne = addresses.map((address) => makeClient([address]))
  const draw = random.fork('clients')
  const registers = new Registers({ random: draw, clients, lanesPerClient: 4, hotKeys: 4, coldKeys: 60 })
  const refilled = async ({ address }: TestServer): Promise<boolean> => {
    try {
      const { storage, forming } = await ofOne[addresses.indexOf(address)]!.status(address, { timeoutMs: 2_000 })
      return !forming && storage.lostSlots === 0
    } catch (error) {
      // Nobody knows while it cannot be asked.
      if (!(error instanceof KvError)) throw error
      return false
    }
  }
  const nemesis = new Nemesis(servers, random.fork('nemesis'), durationMs >= wipingFromMs ? refilled : undefined)
  try {
    const endMs = performance.now() + durationMs
    nemesis.run()
    for (let round = 0; performance.now() < endMs; round++) {
      await registers.round(`r${round}`, Math.min(roundMs, endMs - performance.now()))
    }
    await nemesis.end()
    await registers.checkKept(ofOne)
  } finally {
    await Promise.all([...clients, ...ofOne].map((client) => client.close()))
  }

  const { kills, stops, wipes, allAtOnce } = nemesis.harm
  report.count('operations returned', registers.returned)
  report.count('writes acknowledged', registers.acknowledged)
  for (const [kind, times] of [...registers.failures].sort()) report.count(`failed as ${kind}`, times)
  report.count('operations put into order', registers.checked)
  report.count('keys', registers.keys)
  report.count('kills', kills)
  report.count('stops', stops)
  report.count('wipes', wipes)
  report.count('times all at once', allAtOnce)
  report.count('violations', registers.violations.length)
  expect(registers.violations, `KV_SEED=${seed}`).toEqual([])
  expect(registers.acknowledged).toBeGreaterThan(100)
  expect(kills + stops).toBeGreaterThan(0)
})

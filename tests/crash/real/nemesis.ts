import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { SimRandom } from '@quorumkv/internal/env-sim'
import { eventually, type TestServer } from '../../fixtures.js'

/** SIGSTOP: the process and its timers stand still, its sockets take what comes, and the clocks of the machine go on. */
export async function standStill(server: TestServer): Promise<void> {
  server.signal('SIGSTOP')
  await eventually('it stands still', () => {
    const stat = readFileSync(`/proc/${server.pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).startsWith('T')
  })
}

/** What the nemesis has done so far. */
export interface Harm {
  /** `kill -9` of a process, each process counted. */
  readonly kills: number
  /** SIGSTOP of a process, each process counted. */
  readonly stops: number
  /** How often a node lost its whole data directory. */
  readonly wipes: number
  /** How often all nodes were killed, or stopped, at once. */
  readonly allAtOnce: number
}

/** Whether a node that lost its data directory holds everything again. */
export type Refilled = (server: TestServer) => Promise<boolean>

/** Pauses between two faults, and how long the faults last, in milliseconds. */
const calmMs = [200, 1_500] as const
const deadMsMax = 1_500
const stoppedMsMax = 4_000
const allStoppedMsMax = 1_500

/** How long a node may take to be refilled, beside everything else that befalls it. */
const refillMsMax = 120_000

/**
 * Kills, stops and wipes processes of a cluster, one after the other: at any time at most one of them is away, and now
 * and then all are. A process that is away comes back before the next one goes, but nobody waits until the others have
 * noticed. Only the next node to be wiped is spared until the last one has been refilled: two at once is data lost.
 */
export class Nemesis {
  readonly #servers: readonly TestServer[]
  readonly #random: SimRandom
  readonly #refilled: Refilled | undefined
  #wiped: TestServer | undefined
  #wipes = 0
  #kills = 0
  #stops = 0
  #allAtOnce = 0
  #ending = new AbortController()
  #running: Promise<unknown> | undefined

  /** Without `refilled` no node is wiped. */
  constructor(servers: readonly TestServer[], random: SimRandom, refilled: Refilled | undefined) {
    this.#servers = servers
    this.#random = random
    this.#refilled = refilled
  }

  get harm(): Harm {
    return { kills: this.#kills, stops: this.#stops, wipes: this.#wipes, allAtOnce: this.#allAtOnce }
  }

  /** Begins. Whatever goes wrong, a process that does not come back for instance, is told by `end`. */
  run(): void {
    const running = this.#run()
    this.#running = running.then(
      () => undefined,
      (error: unknown) => error,
    )
  }

  /** Ends; all processes run and hold everything when this resolves. Throws what went wrong meanwhile. */
  async end(): Promise<void> {
    this.#ending.abort()
    const error = await this.#running
    if (error !== undefined) throw error
    await this.#untilWhole()
  }

  async #run(): Promise<void> {
    while (!this.#ending.signal.aborted) {
      const [low, high] = calmMs
      await sleep(this.#random.between(low, high))
      const draw = this.#random.float()
      const one = [this.#random.pick(this.#servers)]
      if (draw < 0.08) await this.#all(() => this.#kill(this.#servers))
      else if (draw < 0.15) await this.#all(() => this.#pause(this.#servers, allStoppedMsMax))
      else if (draw < 0.22 && this.#refilled !== undefined && (await this.#whole())) await this.#wipe(one[0]!)
      else if (draw < 0.6) await this.#kill(one)
      else if (draw < 0.85) await this.#pause(one, stoppedMsMax)
      else await this.#killStopped(one[0]!)
    }
  }

  async #all(harm: () => Promise<void>): Promise<void> {
    this.#allAtOnce++
    await harm()
  }

  async #kill(victims: readonly TestServer[]): Promise<void> {
    this.#kills += victims.length
    await Promise.all(victims.map((server) => server.kill()))
    await sleep(this.#random.below(deadMsMax))
    for (const server of victims) server.start()
    await Promise.all(victims.map((server) => server.ready()))
  }

  /** A new and empty machine under the old name. Half of them are let alone until they are refilled. */
  async #wipe(victim: TestServer): Promise<void> {
    this.#wipes++
    await victim.kill()
    for (const name of readdirSync(victim.dataDir)) rmSync(join(victim.dataDir, name), { recursive: true })
    this.#wiped = victim
    victim.start()
    await victim.ready()
    if (this.#random.chance(0.5)) await this.#untilWhole()
  }

  #untilWhole(): Promise<void> {
    return eventually('the node that was wiped is refilled', () => this.#whole(), refillMsMax)
  }

  /** Whether nobody lacks anything that a wipe has taken. */
  async #whole(): Promise<boolean> {
    if (this.#wiped !== undefined && (await this.#refilled?.(this.#wiped)) === true) this.#wiped = undefined
    return this.#wiped === undefined
  }

  async #pause(victims: readonly TestServer[], msMax: number): Promise<void> {
    this.#stops += victims.length
    await Promise.all(victims.map(standStill))
    await sleep(this.#random.below(msMax))
    for (const server of victims) server.signal('SIGCONT')
  }

  /** It never goes on with what it was at. */
  async #killStopped(victim: TestServer): Promise<void> {
    this.#stops++
    await standStill(victim)
    await sleep(this.#random.below(deadMsMax))
    await this.#kill([victim])
  }
}

import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { untilLinked } from '../crash/real/equal-copies.js'
import { freePorts, makeClient, makeTemporaryDirectory, runServer, TestCluster, TestServer } from '../fixtures.js'
import type { Attack, Setup } from './attacks/attack.js'
import type { Order, Outcome } from './attacks/field.js'
import { attacks } from './attacks/index.js'
import type { HonestJob, Told } from './honest/job.js'
import { Helper } from './process.js'
import { reportJson, reportText } from './report.js'
import { faults, leftovers, type Observation } from './verdict.js'
import { cpuSeconds, type Holdings, holdingsOf, RssWatch, rssBytes } from './watch.js'

/** `npm run test:flood`; otherwise as much as fits into `npm test`. */
const longForm = process.env['KV_FLOOD'] === 'long'
const extent = longForm ? 'long' : 'short'
/** `--tls`: everybody speaks TLS, attackers too. */
const isEncrypted = process.env['KV_FLOOD_TLS'] === '1'
const chosen = process.env['KV_FLOOD_ATTACK']?.split(',')
/** How long honest callers are watched before and after. In the short form the calm before the first attack is that of all. */
const calmMs = longForm ? 5_000 : 500
const warmingMs = longForm ? 2_000 : 500
const [afterMs, afterOps] = longForm ? [5_000, 100] : [0, 10]
/** An attack that has not come to its end by then is broken off, and what it has come to is what is judged. */
const deadlineMs = longForm ? 30_000 : 1_500
/** What is left of an attack must be gone so long after it: longer than a connection that answers no ping lives. */
const leftoverMs = 20_000
const patienceMs = 40_000
const perSecond = 200
const bigKey = 'flood big'
/** An attack is at its height so long after it has begun. */
const attackLeadMs = 3_000

/** Servers, the first of which is attacked, and those who mean well. */
class Scene implements AsyncDisposable {
  readonly server: TestServer
  /** In the short form: of the calm at the beginning. */
  calm: Told | undefined
  readonly #cluster: TestCluster
  readonly #honest = new Helper<HonestJob, Told>('honest')
  readonly #token: string | undefined
  readonly #ca: Buffer | undefined

  private constructor(cluster: TestCluster, token: string | undefined, ca: Buffer | undefined) {
    this.#cluster = cluster
    this.server = cluster.servers[0]!
    this.#token = token
    this.#ca = ca
  }

  static async begin(setup: Setup, nodes = 1): Promise<Scene> {
    const { flags, token } = setup === 'open' ? { flags: [], token: undefined } : await guarded()
    const { cluster, ca } = await startNodes(nodes, flags)
    const scene = new Scene(cluster, token, ca)
    try {
      await cluster.ready()
      await scene.#populate()
      return scene
    } catch (error) {
      await scene[Symbol.asyncDispose]()
      throw error
    }
  }

  async #populate(): Promise<void> {
    const endpoints = this.#cluster.addresses
    const httpPort = Number(new URL(this.server.httpUrl).port)
    const job = {
      kind: 'open',
      endpoints,
      httpPort,
      perSecond,
      bigKey,
      token: this.#token,
      ca: this.#ca?.toString(),
    } as const
    await this.#honest.perform(job, patienceMs)
    // What everything does for the first time takes longer.
    await sleep(warmingMs)
    await this.mark()
    if (!longForm) await sleep(calmMs)
    this.calm = await this.mark(1)
  }

  /** What the server that is attacked holds now. Rejects where it does not tell. */
  holdings(): Promise<Holdings> {
    return holdingsOf(this.server, this.#ca)
  }

  /** What honest callers have done since they were asked last; so much at least, unless they do nothing any more. */
  async mark(atLeast = 0): Promise<Told> {
    return await this.#honest.perform({ kind: 'mark', atLeast }, patienceMs)
  }

  /** Stops the last node and starts it again; resolves to how long it took it then to be linked with all others, in milliseconds. */
  async restartOne(): Promise<number> {
    await sleep(attackLeadMs)
    const last = this.#cluster.servers.at(-1)!
    await last.stop()
    const startedMs = performance.now()
    const ca = this.#ca
    last.start()
    await last.ready()
    await using client = makeClient(this.#cluster.addresses, {
      token: this.#token,
      ...(ca === undefined ? {} : { tls: { ca } }),
    })
    await untilLinked(client, this.#cluster.addresses, patienceMs)
    return performance.now() - startedMs
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#honest[Symbol.asyncDispose]()
    await this.#cluster[Symbol.asyncDispose]()
  }
}

/** Nodes that are being started, over HTTP as well; with `--tls` each with a certificate, and the authority's is told. */
async function startNodes(
  count: number,
  flags: readonly string[],
): Promise<{ readonly cluster: TestCluster; readonly ca: Buffer | undefined }> {
  const ids = Array.from({ length: count }, (_, i) => `n${i + 1}`)
  const certificates = join(makeTemporaryDirectory(), 'certs')
  if (isEncrypted) {
    const { status, output } = await runServer(['certs', 'init', '--dir', certificates, '--nodes', ids.join(',')])
    if (status !== 0) throw new Error(`certs init has failed: ${output}`)
  }
  const file = (name: string): string => join(certificates, name)
  const tls = (id: string): string[] =>
    isEncrypted ? ['--tls-cert', file(`${id}.crt`), '--tls-key', file(`${id}.key`), '--tls-ca', file('ca.crt')] : []
  const ports = await freePorts(2 * count)
  const peers = ports.slice(0, count).map((port) => `127.0.0.1:${port}`)
  const servers = ids.map((id, i) => {
    const listening = { id, port: ports[i]!, httpPort: ports[count + i]!, peers }
    return new TestServer({ ...listening, flags: [...flags, ...tls(id)] })
  })
  return { cluster: new TestCluster(servers), ca: isEncrypted ? readFileSync(file('ca.crt')) : undefined }
}

/** A server that lets in nobody without a token, and no node that does not know the cluster's secret. */
async function guarded(): Promise<{ readonly flags: readonly string[]; readonly token: string }> {
  const directory = makeTemporaryDirectory()
  const [authFile, secretFile] = [join(directory, 'auth.yaml'), join(directory, 'secret')]
  writeFileSync(secretFile, randomBytes(48).toString('base64'), { mode: 0o600 })
  const { output } = await runServer(['auth', 'init', '--auth-file', authFile])
  const token = /qkv_\S+/.exec(output)?.[0]
  if (token === undefined) throw new Error(`auth init has told no token: ${output}`)
  return { flags: ['--auth-file', authFile, '--cluster-secret-file', secretFile, '--metrics-open'], token }
}

/** Waits until nothing is left of an attack; returns what is there then, or is still there when the time is over. */
async function untilNothingIsLeft(scene: Scene, before: Holdings): Promise<Holdings> {
  const endMs = performance.now() + leftoverMs
  for (;;) {
    // The last that it may be: how it fails is then the test's own failure.
    if (performance.now() > endMs) return await scene.holdings()
    const now = await scene.holdings().catch(() => undefined)
    if (now !== undefined && leftovers(before, now).length === 0) return now
    await sleep(20)
  }
}

const seen: Observation[] = []

async function observe(attack: Attack, scene: Scene, attackers: Helper<Order, Outcome>): Promise<Observation> {
  const { server } = scene
  const { pid } = server
  let death: string | undefined
  void server.exited.then((exit) => {
    death = `${JSON.stringify(exit)} ${JSON.stringify(server.lines.slice(-3))}`
  })
  const size = attack.size[extent]
  const holdMs = attack.holdMs?.[extent] ?? 0
  const held = await scene.holdings()
  await scene.mark()
  if (longForm) await sleep(calmMs)
  const before = longForm || scene.calm === undefined ? await scene.mark() : scene.calm
  const [rssBefore, cpuBefore, linesBefore] = [rssBytes(pid), cpuSeconds(pid), server.lines.length]
  using memory = new RssWatch(pid)
  const order = {
    attack: attack.name,
    grpcPort: Number(server.address.split(':')[1]),
    httpPort: Number(new URL(server.httpUrl).port),
    tls: isEncrypted,
    size,
    holdMs,
    deadlineMs: deadlineMs + holdMs,
    bigKey,
  }
  const attacking = attackers.perform(order, order.deadlineMs + patienceMs)
  attacking.catch(() => undefined)
  const linkedMs = longForm && attack.amongNodes === true ? await scene.restartOne() : undefined
  const outcome = await attacking
  const during = await scene.mark()
  const usedSeconds = death === undefined ? cpuSeconds(pid) - cpuBefore : 0
  await sleep(afterMs)
  const isAwaited = death === undefined && (longForm || attack.lingers !== true)
  const after = isAwaited ? await untilNothingIsLeft(scene, held) : held
  return {
    attack: attack.name,
    outcome,
    linkedMs,
    death,
    rss: { before: rssBefore, highest: memory.highest, after: death === undefined ? rssBytes(pid) : 0 },
    mayHoldBytes: attack.mayHoldBytes(size),
    before,
    during,
    after: await scene.mark(afterOps),
    holdings: { before: held, after },
    lines: server.lines.length - linesBefore,
    cpuSeconds: usedSeconds,
  }
}

describe('a node under a flood lives, serves those who mean well, and keeps nothing of it', () => {
  const scenes = new Map<Setup, Scene>()
  let attackers: Helper<Order, Outcome>

  beforeAll(async () => {
    attackers = new Helper('attacks')
    if (longForm) return
    await Promise.all((['open', 'guarded'] as const).map(async (setup) => scenes.set(setup, await Scene.begin(setup))))
  })

  afterAll(async () => {
    process.stdout.write(reportText(seen))
    const file = process.env['KV_FLOOD_JSON']
    if (file !== undefined) writeFileSync(file, reportJson(seen))
    await attackers[Symbol.asyncDispose]()
    for (const scene of scenes.values()) await scene[Symbol.asyncDispose]()
  })

  for (const attack of attacks.filter(({ name }) => chosen === undefined || chosen.includes(name))) {
    it(attack.name, { timeout: 600_000 }, async () => {
      const { setup = 'open' } = attack
      const scene = scenes.get(setup) ?? (await Scene.begin(setup, attack.amongNodes === true ? 3 : 1))
      try {
        const observation = await observe(attack, scene, attackers)
        seen.push(observation)
        expect(faults(observation)).toEqual([])
      } finally {
        if (longForm) await scene[Symbol.asyncDispose]()
      }
    })
  }
})

import type { Slot } from '@quorumkv/internal/base'
import type { Node } from '@quorumkv/internal/cluster'
import { silentLog } from '@quorumkv/internal/env'
import { NodeClock } from '@quorumkv/internal/env-node'
import { slotCount } from '@quorumkv/internal/slots'
import type { Store } from '@quorumkv/internal/store'
import { type LocalCluster, startLocalCluster } from '@quorumkv/server/local'
import type { ServiceContext } from '../../server/src/calls/service-context.js'
import { openAccess, testMeter } from '../../server/src/calls/services.test-support.js'
import { freshTraffic } from '../../server/src/links/link-traffic.js'
import { Fault } from './target.js'

const text = new TextEncoder()
const honestKeys = 40

interface Shown {
  readonly version: string
  readonly value: string
}

/** A whole node in this process, with records that nobody but itself has written. */
export class LiveNode implements AsyncDisposable {
  /** The node, for what is asked of it without its servers. */
  readonly core: Node
  readonly grpcPort: number
  readonly httpPort: number
  readonly context: ServiceContext
  readonly #cluster: LocalCluster
  readonly #honest = new Map<string, Shown>()
  readonly #bugs: unknown[]
  readonly #slotDigest = { hi: 0, lo: 0 }

  private constructor(cluster: LocalCluster, bugs: unknown[]) {
    this.#cluster = cluster
    this.#bugs = bugs
    const [node] = cluster.nodes
    this.core = node!.running.core
    this.grpcPort = Number(/\d+$/.exec(node!.address)![0])
    this.httpPort = Number(/\d+$/.exec(node!.httpAddresses[0]!)![0])
    this.context = {
      access: openAccess,
      clock: new NodeClock(),
      log: silentLog,
      meter: testMeter,
      traffic: freshTraffic(),
      scans: { running: 0 },
      calls: () => ({ streams: 0, sessions: 0 }),
      node: () => this.core,
      draining: () => undefined,
      onBug: (error) => bugs.push(error),
    }
  }

  static async start(): Promise<LiveNode> {
    const bugs: unknown[] = []
    const cluster = await startLocalCluster({ nodes: 1, httpPort: 0, onFatal: (error) => bugs.push(error) })
    await cluster.ready()
    const live = new LiveNode(cluster, bugs)
    for (let i = 0; i < honestKeys; i++) {
      await live.core.put(text.encode(`honest ${i}`), text.encode(`value ${i}`), live.#options())
    }
    for (const [key, shown] of live.#records()) live.#honest.set(key, shown)
    return live
  }

  get #store(): Store {
    const { localStore } = this.core
    if (localStore === undefined) throw new Fault('the node has no store any more')
    return localStore
  }

  /** Tells what is stored from anything else that could be: the digests of all slots, in one. */
  get digest(): string {
    const store = this.#store
    const slot = this.#slotDigest
    let hi = 0
    let lo = 0
    for (let i = 0; i < slotCount; i++) {
      store.digest(i as Slot, slot)
      hi ^= slot.hi
      lo ^= slot.lo
    }
    return `${hi}/${lo}`
  }

  /** Throws a Fault where the node has failed, or what was taken for a bug has come up. */
  checkAlive(): void {
    const [bug] = this.#bugs.splice(0)
    if (bug !== undefined) throw bug instanceof Error ? bug : new Fault(String(bug))
    if (this.core.phase !== 'serving') throw new Fault(`the node is ${this.core.phase}`)
  }

  /** Throws a Fault where something is stored that is neither what was there nor under a key that `mayBe` knows. */
  async check(mayBe: (key: string) => boolean): Promise<void> {
    this.checkAlive()
    await this.core.get(text.encode('honest 1'), this.#options())
    const found = this.#records()
    for (const [key, { version, value }] of this.#honest) {
      const now = found.get(key)
      if ((now?.version !== version || now.value !== value) && !mayBe(key))
        throw new Fault(`the record ${key} has changed`)
    }
    for (const key of found.keys()) {
      if (!this.#honest.has(key) && !mayBe(key))
        throw new Fault(`there is a record ${Buffer.from(key, 'latin1').toString('hex')}`)
    }
  }

  /** Connections to its port of gRPC, as its metrics tell. */
  async grpcConnections(): Promise<number> {
    const answer = await fetch(`http://127.0.0.1:${this.httpPort}/metrics`)
    const told = /^kv_connections\{[^}]*grpc[^}]*\} (\d+)$/im.exec(await answer.text())?.[1]
    if (told === undefined) throw new Fault('the metrics tell no connections')
    return Number(told)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cluster.stop()
  }

  #options() {
    return { consistency: 'quorum' as const, deadlineMs: performance.now() + 5_000 }
  }

  #records(): Map<string, Shown> {
    const found = new Map<string, Shown>()
    for (let slot = 0; slot < slotCount; slot++) {
      this.#store.scanSlot(slot as Slot, ({ key, hi, lo, value }) => {
        const bytes = (part: Uint8Array): string => Buffer.from(part).toString('latin1')
        found.set(bytes(key), { version: `${hi}/${lo}`, value: bytes(value) })
      })
    }
    return found
  }
}

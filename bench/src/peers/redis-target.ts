import { localUsage, type ProcessUsage, type Target, type TargetClient } from '@quorumkv/cli/bench'
import { limits } from '../limits.js'
import type { ServerGroup } from '../server-group.js'
import { connectRedis, type RedisClient } from './redis-client.js'

/** How a write waits for a replica. `none`: it does not. */
export type RedisWait = 'none' | 'each' | 'batch'

/** How Redis is asked. */
export interface RedisTargetSettings {
  readonly name: string
  readonly autoPipelining: boolean
  readonly wait: RedisWait
  /** Told in reports. */
  readonly durability: string
}

/** A write was acknowledged by no replica within `limits.peerWaitMs`: it is not known to be safe, and does not count. */
export class NoReplicaError extends Error {
  override readonly name = 'NoReplicaError'
  readonly code = 'no-replica'
}

/** Throws the first error of a pipeline that ends with WAIT, and NoReplicaError where no replica answered. */
export function checkWaited(replies: [Error | null, unknown][] | null): void {
  if (replies === null) throw new Error('the pipeline was given up')
  for (const [error] of replies) if (error !== null) throw error
  const replicas = replies.at(-1)?.[1]
  if (typeof replicas !== 'number' || replicas < 1) throw new NoReplicaError('no replica acknowledged the write')
}

/** Asks the primary, without waiting for replicas. */
class PlainClient implements TargetClient {
  readonly #redis: RedisClient

  constructor(redis: RedisClient) {
    this.#redis = redis
  }

  read(key: string): Promise<Uint8Array | null> {
    return this.#redis.getBuffer(key)
  }

  write(key: string, value: Buffer): Promise<unknown> {
    return this.#redis.set(key, value)
  }

  close(): Promise<void> {
    this.#redis.disconnect()
    return Promise.resolve()
  }
}

/**
 * Each write is a SET and a WAIT 1 in one piece, on a connection that no other write uses meanwhile: WAIT stops the
 * connection that it is sent on, so that writes that shared one would go through it one by one. There are as many
 * connections as there were ever writes at a time. Reads have one of their own.
 */
class WaitEachClient implements TargetClient {
  readonly #address: string
  readonly #reads: RedisClient
  readonly #all: RedisClient[] = []
  readonly #idle: RedisClient[] = []

  constructor(address: string, reads: RedisClient) {
    this.#address = address
    this.#reads = reads
  }

  read(key: string): Promise<Uint8Array | null> {
    return this.#reads.getBuffer(key)
  }

  async write(key: string, value: Buffer): Promise<void> {
    const connection = this.#idle.pop() ?? (await this.#connect())
    try {
      checkWaited(await connection.pipeline().set(key, value).wait(1, limits.peerWaitMs).exec())
    } finally {
      this.#idle.push(connection)
    }
  }

  close(): Promise<void> {
    for (const connection of [this.#reads, ...this.#all]) connection.disconnect()
    return Promise.resolve()
  }

  async #connect(): Promise<RedisClient> {
    const connection = await connectRedis(this.#address, false)
    this.#all.push(connection)
    return connection
  }
}

interface Waiter {
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/**
 * The writes that came while a WAIT ran share the next one: SET, SET, …, WAIT 1 in one piece on one connection, and all
 * are acknowledged when it answers. That is the most that a client can make of WAIT; no client library does it by
 * itself. Reads have a connection of their own.
 */
class WaitBatchClient implements TargetClient {
  readonly #writes: RedisClient
  readonly #reads: RedisClient
  /** What the next batch will be; as long as there are writes in flight at most. */
  #keys: string[] = []
  #values: Buffer[] = []
  #waiters: Waiter[] = []
  #isWaiting = false

  constructor(writes: RedisClient, reads: RedisClient) {
    this.#writes = writes
    this.#reads = reads
  }

  read(key: string): Promise<Uint8Array | null> {
    return this.#reads.getBuffer(key)
  }

  write(key: string, value: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#keys.push(key)
      this.#values.push(value)
      this.#waiters.push({ resolve, reject })
      if (this.#isWaiting) return
      this.#isWaiting = true
      // With what else this turn of the event loop writes.
      setImmediate(() => void this.#flush())
    })
  }

  close(): Promise<void> {
    this.#writes.disconnect()
    this.#reads.disconnect()
    return Promise.resolve()
  }

  async #flush(): Promise<void> {
    while (this.#keys.length > 0) {
      const [keys, values, waiters] = [this.#keys, this.#values, this.#waiters]
      this.#keys = []
      this.#values = []
      this.#waiters = []
      try {
        const pipeline = this.#writes.pipeline()
        for (let i = 0; i < keys.length; i++) pipeline.set(keys[i]!, values[i]!)
        checkWaited(await pipeline.wait(1, limits.peerWaitMs).exec())
        for (const { resolve } of waiters) resolve()
      } catch (error) {
        for (const { reject } of waiters) reject(error)
      }
    }
    this.#isWaiting = false
  }
}

/** Redis as a store under load: reads and writes go to the primary, the first of the group. */
export class RedisTarget implements Target {
  readonly name: string
  /** The primary does one command after the other. */
  readonly reads = 'fresh'
  readonly failed: AbortSignal
  readonly #group: ServerGroup
  readonly #settings: RedisTargetSettings

  constructor(group: ServerGroup, settings: RedisTargetSettings) {
    this.name = settings.name
    this.failed = group.failed
    this.#group = group
    this.#settings = settings
  }

  describe(): Promise<Readonly<Record<string, string>>> {
    return Promise.resolve({ durability: this.#settings.durability })
  }

  async connect(signal: AbortSignal): Promise<TargetClient> {
    signal.throwIfAborted()
    const { autoPipelining, wait } = this.#settings
    const primary = this.#group.endpoints[0]!
    const reads = await connectRedis(primary, autoPipelining)
    if (wait === 'none') return new PlainClient(reads)
    if (wait === 'each') return new WaitEachClient(primary, reads)
    return new WaitBatchClient(await connectRedis(primary, false), reads)
  }

  serverUsage(): Promise<readonly ProcessUsage[]> {
    return localUsage(this.#group.processes)
  }
}

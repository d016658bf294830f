/**
 * What is used here of ioredis. The package is loaded when Redis is measured and not before: nothing else of the
 * benchmarks needs it.
 */
export interface RedisClient {
  set(key: string, value: Buffer): Promise<unknown>
  getBuffer(key: string): Promise<Buffer | null>
  info(section: string): Promise<string>
  pipeline(): RedisPipeline
  connect(): Promise<void>
  /** Ends the connection at once. */
  disconnect(): void
  on(event: 'error', listener: (error: Error) => void): unknown
}

/** Commands that are sent in one piece. */
export interface RedisPipeline {
  set(key: string, value: Buffer): RedisPipeline
  wait(replicas: number, timeoutMs: number): RedisPipeline
  /** One [error, result] per command, in their order. */
  exec(): Promise<[Error | null, unknown][] | null>
}

interface RedisOptions {
  readonly host: string
  readonly port: number
  readonly lazyConnect: true
  readonly enableAutoPipelining: boolean
  /** null: do not connect again. A server that is measured and goes away has failed. */
  readonly retryStrategy: () => null
  readonly maxRetriesPerRequest: number
}

interface IoRedis {
  readonly Redis: new (options: RedisOptions) => RedisClient
}

// Typed as text, so that a tree without the package compiles.
const packageName: string = 'ioredis'

/**
 * A connection of its own to the Redis server at `address`, `host:port`.
 *
 * @param autoPipelining - whether ioredis sends the commands of one turn of the event loop in one piece; otherwise each
 *   is written by itself, also then without waiting for those before it
 */
export async function connectRedis(address: string, autoPipelining: boolean): Promise<RedisClient> {
  const { Redis } = (await import(packageName)) as IoRedis
  const colon = address.lastIndexOf(':')
  const client = new Redis({
    host: address.slice(0, colon),
    port: Number(address.slice(colon + 1)),
    lazyConnect: true,
    enableAutoPipelining: autoPipelining,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
  })
  // What goes wrong reaches the commands that it concerns; without a listener ioredis prints it as well.
  client.on('error', () => {})
  await client.connect()
  return client
}

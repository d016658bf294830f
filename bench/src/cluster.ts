import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { ServerProcess } from './server-process.js'
import type { Process } from './usage.js'

/** When a write counts as durable: the values of kv-server's --fsync. */
export type Fsync = 'always' | 'interval' | 'never'

export interface ClusterOptions {
  readonly nodes: number
  readonly fsync: Fsync
  /** Where the nodes' data directories are made, below one of their own. */
  readonly parentDirectory: string
  /** Gives the start up. */
  readonly signal: AbortSignal
}

/** Replicas of each key, as far as there are nodes. */
const replicationFactorMax = 3

/** Ports on 127.0.0.1 that are free now, all different. Someone else may take one before it is used; then the start fails. */
async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = []
  try {
    for (let i = 0; i < count; i++) {
      const server = createServer().listen(0, '127.0.0.1')
      servers.push(server)
      await once(server, 'listening')
    }
    return servers.map((server) => (server.address() as AddressInfo).port)
  } finally {
    for (const server of servers) server.close()
  }
}

/**
 * A cluster of kv-server processes on this machine, with data directories of their own. `stop` ends the processes and
 * removes the directories; so does the end of this process, unless it is killed with SIGKILL.
 */
export class LocalCluster implements AsyncDisposable {
  readonly #servers: ServerProcess[] = []
  readonly #directory: string
  readonly #failed = new AbortController()
  readonly #endNow = (): void => {
    for (const server of this.#servers) server.kill()
    rmSync(this.#directory, { recursive: true, force: true })
  }
  #stopping: Promise<void> | undefined

  private constructor(directory: string) {
    this.#directory = directory
    process.on('exit', this.#endNow)
  }

  /** Resolves when all nodes serve. When it rejects, everything has been stopped and removed. */
  static async start(options: ClusterOptions): Promise<LocalCluster> {
    const { nodes, fsync, parentDirectory, signal } = options
    const addresses = (await freePorts(nodes)).map((port) => `127.0.0.1:${port}`)
    const cluster = new LocalCluster(await mkdtemp(join(parentDirectory, 'quorumkv-bench-')))
    try {
      const flags = ['--fsync', fsync, '--replication-factor', String(Math.min(nodes, replicationFactorMax))]
      if (nodes > 1) flags.push('--peers', addresses.join(','))
      for (const address of addresses) cluster.#add(address, flags)
      await Promise.all(cluster.#servers.map((server) => server.ready(signal)))
    } catch (error) {
      await cluster.stop()
      throw error
    }
    return cluster
  }

  get endpoints(): string[] {
    return this.#servers.map(({ address }) => address)
  }

  get processes(): Process[] {
    return this.#servers.map(({ id, pid }) => ({ id, pid: pid! }))
  }

  /** Aborted when a node ends that was not told to; the reason says which, and why as far as its log does. */
  get failed(): AbortSignal {
    return this.#failed.signal
  }

  /** Stops the nodes and removes their data. Idempotent. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  #add(address: string, flags: readonly string[]): void {
    const id = `n${this.#servers.length + 1}`
    const server = new ServerProcess(id, address, [...flags, '--data-dir', join(this.#directory, id)])
    this.#servers.push(server)
    void server.ended.then((what) => {
      if (this.#stopping === undefined) this.#failed.abort(server.failure(what))
    })
  }

  async #stop(): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.stop()))
    await rm(this.#directory, { recursive: true, force: true })
    process.off('exit', this.#endNow)
  }
}

import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import type { Process } from '@quorumkv/cli/bench'
import { ServerProcess, type ServerSpec } from './server-process.js'

/** Ports on 127.0.0.1 that are free now, all different. Someone else may take one before it is used; then the start fails. */
export async function freePorts(count: number): Promise<number[]> {
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
 * Servers on this machine that are measured together, with a directory for what they keep. `stop` ends the processes and
 * removes the directory; so does the end of this process, unless it is killed with SIGKILL.
 */
export class ServerGroup implements AsyncDisposable {
  /** Below it every server has its data. */
  readonly directory: string
  readonly #servers: ServerProcess[] = []
  readonly #failed = new AbortController()
  readonly #endNow = (): void => {
    for (const server of this.#servers) server.kill()
    // Those that were killed may still be writing.
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 5 })
  }
  #stopping: Promise<void> | undefined

  private constructor(directory: string) {
    this.directory = directory
    process.on('exit', this.#endNow)
  }

  /**
   * Makes the directory, has `fill` start the servers, and returns the group when `fill` has resolved. When `fill`
   * rejects, everything that it had started has been stopped and removed before this rejects with the same.
   */
  static async start(
    parentDirectory: string,
    fill: (group: ServerGroup) => void | Promise<void>,
  ): Promise<ServerGroup> {
    const group = new ServerGroup(await mkdtemp(join(parentDirectory, 'quorumkv-bench-')))
    try {
      await fill(group)
    } catch (error) {
      await group.stop()
      throw error
    }
    return group
  }

  /** Where the servers serve clients, in the order in which they were added. */
  get endpoints(): string[] {
    return this.#servers.map(({ address }) => address)
  }

  /** Those that could be started. */
  get processes(): Process[] {
    return this.#servers.flatMap(({ id, pid }) => (pid === undefined ? [] : [{ id, pid }]))
  }

  /** Aborted when a server ends that was not told to; the reason says which, and why as far as its log does. */
  get failed(): AbortSignal {
    return this.#failed.signal
  }

  /** Starts a server. */
  add(spec: ServerSpec): ServerProcess {
    const server = new ServerProcess(spec)
    this.#servers.push(server)
    void server.ended.then((what) => {
      if (this.#stopping === undefined) this.#failed.abort(server.failure(what))
    })
    return server
  }

  /** Resolves when all of them serve. Rejects as ServerProcess.ready does. */
  async ready(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.ready(signal)))
  }

  /** Stops the servers and removes their data. Idempotent. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #stop(): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.stop()))
    await rm(this.directory, { recursive: true, force: true })
    process.off('exit', this.#endNow)
  }
}

import type { Clock, Timer } from './clock.js'
import type { Disk, DiskFile } from './disk.js'
import type { Channel, Link, LinkHandlers, Network } from './network.js'

/** Resolves never: whoever waits for it is dead. */
function stillness(): Promise<never> {
  return new Promise(() => {})
}

/**
 * One life of a node that shares its process with others. When it ends, nothing of it moves any more, as after SIGKILL: its
 * timers do not fire, its disk does not answer, its links carry nothing. What had been asked of the disk happens or has
 * happened; nobody learns of it.
 */
export class Life {
  readonly #timers = new Set<Timer>()
  readonly #operations = new Set<Promise<unknown>>()
  readonly #files = new Set<DiskFile>()
  #alive = true

  get alive(): boolean {
    return this.#alive
  }

  /** Ends it at once. Resolves when its disk has done what it had been told to do, and its files are closed. */
  async end(): Promise<void> {
    this.#alive = false
    for (const timer of this.#timers) timer.cancel()
    this.#timers.clear()
    await Promise.allSettled(this.#operations)
    const files = [...this.#files]
    this.#files.clear()
    await Promise.all(files.map((file) => file.close()))
  }

  clock(clock: Clock): Clock {
    return {
      wallMs: () => clock.wallMs(),
      monotonicMs: () => clock.monotonicMs(),
      setTimer: (delayMs, fire) => {
        if (!this.#alive) return { cancel: () => undefined }
        const timer = clock.setTimer(delayMs, () => {
          this.#timers.delete(own)
          fire()
        })
        const own: Timer = {
          cancel: () => {
            this.#timers.delete(own)
            timer.cancel()
          },
        }
        this.#timers.add(own)
        return own
      },
      defer: (fire) =>
        clock.defer(() => {
          if (this.#alive) fire()
        }),
    }
  }

  disk(disk: Disk): Disk {
    return {
      open: (path, mode) => this.#run(async () => this.#opened(await disk.open(path, mode))),
      rename: (from, to) => this.#run(() => disk.rename(from, to)),
      remove: (path) => this.#run(() => disk.remove(path)),
      list: (directory) => this.#run(() => disk.list(directory)),
      makeDirectory: (path) => this.#run(() => disk.makeDirectory(path)),
      syncDirectory: (path) => this.#run(() => disk.syncDirectory(path)),
      freeBytes: () => this.#run(() => disk.freeBytes()),
    }
  }

  network(network: Network): Network {
    return {
      connect: async (address, channel, timeoutMs) => {
        if (!this.#alive) return await stillness()
        return this.#link(await network.connect(address, channel, timeoutMs))
      },
      listen: (address, accept) =>
        network.listen(address, (link: Link, channel: Channel) => {
          if (this.#alive) accept(this.#link(link), channel)
        }),
    }
  }

  #opened(file: DiskFile): DiskFile {
    this.#files.add(file)
    return {
      path: file.path,
      size: () => this.#run(() => file.size()),
      read: (into, position) => this.#run(() => file.read(into, position)),
      write: (from, position) => this.#run(() => file.write(from, position)),
      sync: () => this.#run(() => file.sync()),
      truncate: (size) => this.#run(() => file.truncate(size)),
      preallocate: (size) => this.#run(() => file.preallocate(size)),
      close: () => {
        this.#files.delete(file)
        return this.#run(() => file.close())
      },
    }
  }

  /** Nobody hears of the end of an operation that the life has not outlasted. */
  async #run<T>(operation: () => Promise<T>): Promise<T> {
    if (!this.#alive) return await stillness()
    const running = operation()
    this.#operations.add(running)
    try {
      const result = await running
      return this.#alive ? result : await stillness()
    } catch (error) {
      if (this.#alive) throw error
      return await stillness()
    } finally {
      this.#operations.delete(running)
    }
  }

  #link(link: Link): Link {
    return {
      remote: link.remote,
      proved: link.proved,
      start: (handlers: LinkHandlers) =>
        link.start({
          message: (bytes) => {
            if (this.#alive) handlers.message(bytes)
          },
          drain: () => {
            if (this.#alive) handlers.drain()
          },
          close: (reason) => {
            if (this.#alive) handlers.close(reason)
          },
        }),
      send: (message) => this.#alive && link.send(message),
      close: (reason) => {
        if (this.#alive) link.close(reason)
      },
    }
  }
}

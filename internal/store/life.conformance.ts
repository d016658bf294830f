import { type Clock, type Disk, DiskError, type DiskFile, type OpenMode, type Timer } from '../env/index.js'

/** Resolves never: whoever waits for it is dead. */
function stillness<T>(): Promise<T> {
  return new Promise(() => {})
}

/**
 * One life of a process on seams that know nothing of lives, those of the real machine above all. When it ends, its
 * timers do not fire and its disk does not answer any more, as after SIGKILL; what had been asked of the disk happens
 * or has happened, and nothing after it. Its disk can also be full.
 */
export class Life {
  readonly disk: Disk = new MortalDisk(this)
  readonly clock: Clock
  /** Writes take half of what they are given once, and then nothing. */
  full = false
  readonly inner: Disk
  readonly #running = new Set<Promise<unknown>>()
  readonly #files = new Set<DiskFile>()
  #alive = true
  #halfTaken = false

  /** `haste`: how many times faster than the clock its timers run. */
  constructor(disk: Disk, clock: Clock, haste = 1) {
    this.inner = disk
    this.clock = {
      wallMs: () => clock.wallMs(),
      monotonicMs: () => clock.monotonicMs() * haste,
      setTimer: (delayMs: number, fire: () => void): Timer => clock.setTimer(delayMs / haste, this.#whileAlive(fire)),
      defer: (fire: () => void): void => clock.defer(this.#whileAlive(fire)),
    }
  }

  /** Ends it; resolves when nothing of it moves any more and its files are closed. */
  async end(): Promise<void> {
    this.#alive = false
    await Promise.allSettled(this.#running)
    for (const file of this.#files) await file.close()
  }

  /** Runs an operation of the disk, unless this life is over; nobody hears of its end if this life ends before. */
  async run<T>(operation: () => Promise<T>): Promise<T> {
    if (!this.#alive) return await stillness()
    const running = operation()
    this.#running.add(running)
    try {
      return await this.#heard(running)
    } finally {
      this.#running.delete(running)
    }
  }

  async #heard<T>(running: Promise<T>): Promise<T> {
    try {
      const result = await running
      return this.#alive ? result : await stillness()
    } catch (error) {
      if (this.#alive) throw error
      return await stillness()
    }
  }

  opened(file: DiskFile): DiskFile {
    this.#files.add(file)
    return new MortalFile(this, file)
  }

  closed(file: DiskFile): void {
    this.#files.delete(file)
  }

  /** How much of a write there is room for. */
  room(path: string, bytes: number): number {
    if (!this.full) {
      this.#halfTaken = false
      return bytes
    }
    if (this.#halfTaken || bytes < 2) throw new DiskError('full', 'write', path)
    this.#halfTaken = true
    return bytes >>> 1
  }

  #whileAlive(fire: () => void): () => void {
    return () => {
      if (this.#alive) fire()
    }
  }
}

class MortalDisk implements Disk {
  readonly #life: Life

  constructor(life: Life) {
    this.#life = life
  }

  open(path: string, mode: OpenMode): Promise<DiskFile> {
    return this.#life.run(async () => this.#life.opened(await this.#life.inner.open(path, mode)))
  }

  rename(from: string, to: string): Promise<void> {
    return this.#life.run(() => this.#life.inner.rename(from, to))
  }

  remove(path: string): Promise<void> {
    return this.#life.run(() => this.#life.inner.remove(path))
  }

  list(directory: string): Promise<string[]> {
    return this.#life.run(() => this.#life.inner.list(directory))
  }

  makeDirectory(path: string): Promise<void> {
    return this.#life.run(() => this.#life.inner.makeDirectory(path))
  }

  syncDirectory(path: string): Promise<void> {
    return this.#life.run(() => this.#life.inner.syncDirectory(path))
  }

  freeBytes(): Promise<number> {
    return this.#life.run(() => this.#life.inner.freeBytes())
  }
}

class MortalFile implements DiskFile {
  readonly path: string
  readonly #life: Life
  readonly #file: DiskFile

  constructor(life: Life, file: DiskFile) {
    this.path = file.path
    this.#life = life
    this.#file = file
  }

  size(): Promise<number> {
    return this.#life.run(() => this.#file.size())
  }

  read(into: Uint8Array, position: number): Promise<number> {
    return this.#life.run(() => this.#file.read(into, position))
  }

  write(from: Uint8Array, position: number): Promise<number> {
    return this.#life.run(async () => {
      const room = this.#life.room(this.path, from.length)
      return this.#file.write(from.subarray(0, room), position)
    })
  }

  sync(): Promise<void> {
    return this.#life.run(() => this.#file.sync())
  }

  truncate(size: number): Promise<void> {
    return this.#life.run(() => this.#file.truncate(size))
  }

  preallocate(size: number): Promise<void> {
    return this.#life.run(async () => {
      if (this.#life.full) throw new DiskError('full', 'preallocate', this.path)
      await this.#file.preallocate(size)
    })
  }

  close(): Promise<void> {
    return this.#life.run(async () => {
      this.#life.closed(this.#file)
      await this.#file.close()
    })
  }
}

import { DiskError, type DiskFile, ForwardingDisk, ForwardingFile, type OpenMode } from '../env/index.js'

/** A disk that can be full: writes take half of what they are given once, and then nothing. */
export class FillingDisk extends ForwardingDisk {
  #full = false
  #halfTaken = false

  set full(full: boolean) {
    this.#full = full
    if (!full) this.#halfTaken = false
  }

  get full(): boolean {
    return this.#full
  }

  override async open(path: string, mode: OpenMode): Promise<DiskFile> {
    return new FillingFile(await super.open(path, mode), this)
  }

  /** How much of a write there is room for. */
  room(path: string, bytes: number): number {
    if (!this.#full) return bytes
    if (this.#halfTaken || bytes < 2) throw new DiskError('full', 'write', path)
    this.#halfTaken = true
    return bytes >>> 1
  }
}

class FillingFile extends ForwardingFile {
  readonly #disk: FillingDisk

  constructor(file: DiskFile, disk: FillingDisk) {
    super(file)
    this.#disk = disk
  }

  override async write(from: Uint8Array, position: number): Promise<number> {
    return await super.write(from.subarray(0, this.#disk.room(this.path, from.length)), position)
  }

  override async preallocate(size: number): Promise<void> {
    if (this.#disk.full) throw new DiskError('full', 'preallocate', this.path)
    await super.preallocate(size)
  }
}

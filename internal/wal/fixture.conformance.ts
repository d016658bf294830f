import {
  type ClusterId,
  emptyBytes,
  type Incarnation,
  Instruments,
  parseClusterId,
  parseIncarnation,
} from '../base/index.js'
import { type Disk, type DiskFile, type OpenMode, silentLog } from '../env/index.js'
import type { SimProcess, SimWorld } from '../env-sim/index.js'
import { decodeRecords, encodedRecordBytes, type StoredRecord } from '../record/index.js'
import { type ReplayRequest, readLogDirectory, replayLog, type WalOptions, WriteAheadLog } from './index.js'

export const clusterId: ClusterId = parseClusterId('0123456789abcdef0123456789abcdef')
export const incarnation: Incarnation = parseIncarnation('fedcba9876543210fedcba9876543210')

const text = new TextEncoder()

/** A small write of `key` with a version that only `stamp` decides. */
export function put(key: string, stamp: number, value: string | Uint8Array = `${key}@${stamp}`): StoredRecord {
  const bytes = typeof value === 'string' ? text.encode(value) : value
  return { hi: 1, lo: stamp, node: 1, key: text.encode(key), tombstone: false, expiresAtMs: 0, value: bytes }
}

export function tombstone(key: string, stamp: number): StoredRecord {
  return { ...put(key, stamp), tombstone: true, value: emptyBytes }
}

/** What was asked of a disk, in order: `write log/0000000001.log 512+64`, `sync log/0000000001.log`, … */
export class RecordingDisk implements Disk {
  readonly calls: string[] = []
  readonly #disk: Disk

  constructor(disk: Disk) {
    this.#disk = disk
  }

  async open(path: string, mode: OpenMode): Promise<DiskFile> {
    this.#note(`${mode === 'create' ? 'create' : 'open'} ${path}`)
    return this.#wrap(await this.#disk.open(path, mode))
  }

  rename(from: string, to: string): Promise<void> {
    this.#note(`rename ${from} ${to}`)
    return this.#disk.rename(from, to)
  }

  remove(path: string): Promise<void> {
    this.#note(`remove ${path}`)
    return this.#disk.remove(path)
  }

  list(directory: string): Promise<string[]> {
    return this.#disk.list(directory)
  }

  makeDirectory(path: string): Promise<void> {
    return this.#disk.makeDirectory(path)
  }

  syncDirectory(path: string): Promise<void> {
    this.#note(`syncDirectory ${path}`)
    return this.#disk.syncDirectory(path)
  }

  freeBytes(): Promise<number> {
    return this.#disk.freeBytes()
  }

  #note(call: string): void {
    this.calls.push(call)
  }

  #wrap(file: DiskFile): DiskFile {
    const note = (call: string): void => this.#note(call)
    return {
      path: file.path,
      size: () => file.size(),
      read: (into, position) => file.read(into, position),
      write: (from, position) => {
        note(`write ${file.path} ${position}+${from.length}`)
        return file.write(from, position)
      },
      sync: async () => {
        await file.sync()
        note(`sync ${file.path}`)
      },
      truncate: (size) => {
        note(`truncate ${file.path} ${size}`)
        return file.truncate(size)
      },
      preallocate: (size) => {
        note(`preallocate ${file.path} ${size}`)
        return file.preallocate(size)
      },
      close: () => file.close(),
    }
  }
}

export interface LogFixture {
  readonly world: SimWorld
  readonly process: SimProcess
  readonly disk: RecordingDisk
  readonly log: WriteAheadLog
  /** What `onFatal` was given. */
  readonly fatal: Error[]
  /** What replay found when the log was opened. */
  readonly found: StoredRecord[]
}

/** Opens the log on a simulated disk, as the store does that has a snapshot of everything up to sequence `after`. */
export async function openLog(
  world: SimWorld,
  process: SimProcess,
  overrides: Partial<WalOptions> = {},
  after = 0,
): Promise<LogFixture> {
  const disk = new RecordingDisk(process.disk)
  const fatal: Error[] = []
  const found: StoredRecord[] = []
  const options: WalOptions = {
    disk,
    clock: process.clock,
    instruments: new Instruments(() => 0),
    log: silentLog,
    clusterId,
    incarnation,
    fsync: 'always',
    fsyncIntervalMs: 100,
    segmentBytes: 65_536,
    preallocateBytes: 8_192,
    onFatal: (error) => fatal.push(error),
    ...overrides,
  }
  const request: ReplayRequest = {
    after,
    visit: (payload, records) => found.push(...decodeRecords(payload.slice(), records)),
  }
  const opened = (async () => {
    await disk.makeDirectory('log')
    await disk.syncDirectory('.')
    return WriteAheadLog.open(options, await replayLog(options, await readLogDirectory(options), request))
  })()
  const log = await world.settle(opened)
  disk.calls.length = 0
  return { world, process, disk, log, fatal, found }
}

/** Adds records to the open group; resolves with the group's sequence when it is durable. */
export function append(log: WriteAheadLog, ...records: StoredRecord[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const group = log.groupFor(records.reduce((bytes, record) => bytes + encodedRecordBytes(record), 0))
    for (const record of records) group.add(record)
    group.join({ durable: resolve, failed: reject })
  })
}

/** The keys and stamps of records, short enough to compare by eye. */
export function names(records: readonly StoredRecord[]): string[] {
  const decoder = new TextDecoder()
  return records.map((record) => `${decoder.decode(record.key)}@${record.lo}`)
}

import {
  type ClusterId,
  emptyBytes,
  type Incarnation,
  Instruments,
  parseClusterId,
  parseIncarnation,
} from '../base/index.js'
import { type DiskFile, ForwardingDisk, ForwardingFile, type OpenMode, silentLog } from '../env/index.js'
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
export class RecordingDisk extends ForwardingDisk {
  readonly calls: string[] = []

  override async open(path: string, mode: OpenMode): Promise<DiskFile> {
    this.calls.push(`${mode === 'create' ? 'create' : 'open'} ${path}`)
    return new RecordedFile(await super.open(path, mode), this.calls)
  }

  override rename(from: string, to: string): Promise<void> {
    this.calls.push(`rename ${from} ${to}`)
    return super.rename(from, to)
  }

  override remove(path: string): Promise<void> {
    this.calls.push(`remove ${path}`)
    return super.remove(path)
  }

  override syncDirectory(path: string): Promise<void> {
    this.calls.push(`syncDirectory ${path}`)
    return super.syncDirectory(path)
  }
}

class RecordedFile extends ForwardingFile {
  readonly #calls: string[]

  constructor(file: DiskFile, calls: string[]) {
    super(file)
    this.#calls = calls
  }

  override write(from: Uint8Array, position: number): Promise<number> {
    this.#calls.push(`write ${this.path} ${position}+${from.length}`)
    return super.write(from, position)
  }

  override async sync(): Promise<void> {
    await super.sync()
    this.#calls.push(`sync ${this.path}`)
  }

  override truncate(size: number): Promise<void> {
    this.#calls.push(`truncate ${this.path} ${size}`)
    return super.truncate(size)
  }

  override preallocate(size: number): Promise<void> {
    this.#calls.push(`preallocate ${this.path} ${size}`)
    return super.preallocate(size)
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

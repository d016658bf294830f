/**
 * The seam between the load generator and the store that it loads. The generator knows keys, values, mixes and clocks;
 * a target knows how one store is asked. QuorumKV's is `KvTarget`; another store needs these two interfaces and nothing
 * else to be measured with the same keys, values and clocks.
 */

/** What an operation does. YCSB's words: an update writes a key that is there, an insert one that is not. */
export type OperationKind = 'read' | 'update' | 'insert' | 'scan' | 'readModifyWrite'

/** All kinds, in the order of reports. */
export const operationKinds: readonly OperationKind[] = ['read', 'update', 'insert', 'scan', 'readModifyWrite']

/** A store that can be loaded. Errors of its methods are those of the store's own client; the generator tallies them by `code`, else by `name`. */
export interface Target {
  /** Names the store in reports: `QuorumKV`, say. */
  readonly name: string
  /**
   * What a read that starts after a write was acknowledged must return at least: `fresh`, that write or a newer one (an
   * older value is then an error, `stale-value`); `any`, whatever was written once (older values are only counted).
   */
  readonly reads: 'fresh' | 'any'
  /** What a reader of the report should know: durability, replication, versions. In the order given. Called once, before the load. */
  describe(signal: AbortSignal): Promise<Readonly<Record<string, string>>>
  /**
   * One more client, with connections of its own as far as the store's client library has them. Called one after the
   * other, before anything is measured. Rejects with the reason of `signal` when that is aborted.
   */
  connect(signal: AbortSignal): Promise<TargetClient>
  /**
   * What the servers have used since they were started, always in the same order; empty where nobody can say, which
   * is never replaced by a guess. Absent: nobody can.
   */
  serverUsage?(): Promise<readonly ProcessUsage[]>
  /** Aborted, with an Error as its reason, when the store has failed for good: the run then ends with that error. */
  readonly failed?: AbortSignal
}

/** Looks at an entry of a scan, in the same turn in which it came. */
export type ScannedEntry = (key: string, value: Uint8Array) => void

/**
 * One client of a store. Each call returns the promise of the store's own client library, wrapped in nothing: a wrapper
 * would cost as much as the generator itself. Calls overlap, as many at a time as the run has in flight.
 */
export interface TargetClient {
  /** The value of `key`; undefined or null: there is none. The bytes must stay as they are until the generator has looked at them, in the same turn. */
  read(key: string): Promise<Uint8Array | undefined | null>
  /** Writes a key, whether it is there or not. Resolves when the write is acknowledged. `value` is the target's to keep. */
  write(key: string, value: Buffer): Promise<unknown>
  /**
   * Reads up to `count` entries that follow each other in the store's own order, beginning somewhere that depends on
   * `start`, 0 up to but not 1; resolves to how many there were. Each is shown to `entry`; when that throws, the scan
   * rejects with the same. Absent: the store cannot, and workloads that scan are refused.
   */
  scan?(start: number, count: number, entry: ScannedEntry): Promise<number>
  /** Called once before the first scan, when the keys are loaded: to learn where scans can begin. */
  prepareScans?(signal: AbortSignal): Promise<void>
  /** Ends the connections. Idempotent. */
  close(): Promise<void>
}

/** What a process has used since it was started. */
export interface ProcessUsage {
  readonly id: string
  /** In user code and in the kernel, with children that have ended. */
  readonly cpuSeconds: number
  /** Resident memory now. */
  readonly residentBytes: number
}

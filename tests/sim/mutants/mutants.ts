/** A known bug that can be planted into the built code, to see whether the simulation finds it. */
export interface Mutant {
  readonly name: string
  /** What systems have lost data by it. */
  readonly hazard: string
  /** Below `internal/dist`. */
  readonly file: string
  /** Found there exactly once. */
  readonly find: string
  readonly replace: string
}

/** One line of code each, and each of them a bug that a real system has had. */
export const mutants: readonly Mutant[] = [
  {
    name: 'ack-before-fsync',
    hazard: 'a write is acknowledged before it is durable',
    file: 'wal/log.js',
    find: "if (fsync !== 'always') {",
    replace: 'if (true) {',
  },
  {
    name: 'fsync-error-ignored',
    hazard: 'the first failed fsync is passed over, and the log goes on',
    file: 'wal/durable.js',
    find: 'await file.sync();',
    replace: 'await file.sync().catch(() => undefined);',
  },
  {
    name: 'no-directory-fsync',
    hazard: 'a new file loses its name in a power cut',
    file: 'wal/durable.js',
    find: 'await disk.syncDirectory(path);',
    replace: '',
  },
  {
    name: 'torn-tail-not-cut',
    hazard: 'what is appended behind a torn tail cannot be read again',
    file: 'wal/log-reader.js',
    find: 'return torn;',
    replace: 'return false;',
  },
  {
    name: 'disk-full-not-cut-back',
    hazard: 'half a record stays on a full disk, and later ones are written behind it',
    file: 'wal/log.js',
    find: 'await this.#segments.current.cutBack();\n        }\n        catch (cutError)',
    replace: '}\n        catch (cutError)',
  },
  {
    name: 'no-write-back',
    hazard: 'a read returns what only one replica holds, and a later one does not find it',
    file: 'replication/read-operation.js',
    find: 'if (this.#agreeing() >= this.#settled)\n            return this.#succeed(this.#newest);',
    replace: 'if (true)\n            return this.#succeed(this.#newest);',
  },
  {
    name: 'stale-counts-as-applied',
    hazard: 'a write that a replica refused as stale is acknowledged all the same',
    file: 'replication/write-operation.js',
    find: "case 'stale':\n                this.stale++;",
    replace: "case 'stale':\n                this.tally.succeed(position); break;",
  },
  {
    name: 'lost-counts-as-applied',
    hazard: 'a replica that fell silent is counted toward the quorum',
    file: 'replication/write-operation.js',
    find: "case 'lost':\n                this.#lost++;",
    replace: "case 'lost':\n                this.tally.succeed(position); break;",
  },
  {
    name: 'unknown-told-as-failed',
    hazard: 'a write that failed is told as not applied, and shows up later',
    file: 'replication/write-operation.js',
    find: "applied ? 'unknown' : 'not-applied'",
    replace: "'not-applied'",
  },
  {
    name: 'write-quorum-too-small',
    hazard: 'write quorums do not overlap with read quorums',
    file: 'slots/validate.js',
    find: 'writeQuorum: Math.min(settings.writeQuorum, owners)',
    replace: 'writeQuorum: Math.max(1, Math.min(settings.writeQuorum, owners) - 1)',
  },
  {
    name: 'repair-overwrites-newer',
    hazard: 'whatever arrives last wins',
    file: 'store/table.js',
    find: 'if (order <= 0)',
    replace: 'if (order === 0)',
  },
  {
    name: 'clock-ceiling-ignored',
    hazard: 'the clock goes back over a restart',
    file: 'cluster/stamping-clock.js',
    find: 'const ceiling = hlcOf(ceilingMs, 0xffff);\n        const startAbove = compareHlc(options.startAbove, ceiling) > 0 ? options.startAbove : ceiling;',
    replace: 'const startAbove = hlcOf(0, 0);',
  },
  {
    name: 'clock-stands-still',
    hazard: 'two writes get one stamp',
    file: 'hlc/hlc.js',
    find: 'this.#counter++;\n        else',
    replace: ';\n        else',
  },
  {
    name: 'drift-not-checked',
    hazard: 'one broken clock drags the others into the future',
    file: 'hlc/hlc.js',
    find: 'if (remoteMs > wallMs + this.#maxDriftMs)',
    replace: 'if (false)',
  },
  {
    name: 'far-clock-stamps',
    hazard: 'a node with a broken clock leaves stamps from the future on its disk',
    file: 'cluster/stamping-clock.js',
    find: 'if (!this.#witnesses.bearOutLocal()) {',
    replace: 'if (false) {',
  },
  {
    name: 'expired-is-shown',
    hazard: 'an expired entry is read as if it lived',
    file: 'record/record.js',
    find: '(record.expiresAtMs === 0 || record.expiresAtMs > nowMs)',
    replace: 'true',
  },
  {
    name: 'scan-without-write-back',
    hazard: 'a scan returns what only one replica holds',
    file: 'replication/slot-read.js',
    find: 'if (this.#repairsNeeded.size > 0)\n            return;',
    replace: '',
  },
  {
    name: 'delete-not-logged',
    hazard: 'a delete leaves no tombstone on the disk, and the value comes back',
    file: 'store/durable-store.js',
    find: 'if (results[i] === undefined)\n                    group.add(records[i]);',
    replace:
      'if (results[i] === undefined && (bytes > 60 || !records[i].tombstone))\n                    group.add(records[i]);',
  },
]

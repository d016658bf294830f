import type { Mutant } from './mutant.js'

/** Bugs in what a node keeps: its log, its snapshots, its table. */
export const diskMutants: readonly Mutant[] = [
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
    name: 'appends-behind-torn-tail',
    hazard: 'what is appended behind a torn tail cannot be read again',
    file: 'wal/segment-file.js',
    find: 'if (tail.torn)\n                await file.truncate(tail.position);',
    replace: 'if (tail.torn)\n                tail = { ...tail, position: await file.size() };',
  },
  {
    name: 'damage-taken-for-torn-tail',
    hazard: 'damage in the middle of the log is cut off together with all that stands behind it',
    file: 'wal/log-reader.js',
    find: 'const torn = await judgeTail(reader, position, judged);',
    replace: 'const torn = true;',
  },
  {
    name: 'log-checksum-unchecked',
    hazard: 'a rotten record of the log is served',
    file: 'wal/log-reader.js',
    find: 'if (crc32(frame, frameHeaderBytes) !== header.payloadCrc)',
    replace: 'if (false)',
  },
  {
    name: 'snapshot-checksum-unchecked',
    hazard: 'a rotten record of a snapshot is served',
    file: 'store/snapshot-reader.js',
    find: 'if (crc32(block, blockHeaderBytes) !== header.payloadCrc)',
    replace: 'if (false)',
  },
  {
    name: 'half-record-left-on-full-disk',
    hazard: 'half a record stays on a full disk, and later ones are written behind it',
    file: 'wal/segment-file.js',
    find: 'await writeFully(this.#file, frame, this.#position);\n        this.#position += frame.length;',
    replace:
      'this.#position += frame.length;\n        await writeFully(this.#file, frame, this.#position - frame.length);',
  },
  {
    name: 'full-disk-acknowledges',
    hazard: 'a write that found no room is acknowledged',
    file: 'wal/log.js',
    find: 'group.failed(refused);',
    replace: 'group.durable();',
  },
  {
    name: 'log-dropped-too-early',
    hazard: 'log that no snapshot holds is dropped',
    file: 'store/snapshots.js',
    find: 'await log.trim(older);',
    replace: 'await log.trim(this.#source.sequence());',
  },
  {
    name: 'snapshot-claims-too-much',
    hazard: 'a snapshot is taken for newer than it is, and what it lacks is not replayed',
    file: 'store/snapshots.js',
    find: 'const sequence = this.#source.sequence();',
    replace: 'const sequence = this.#source.log.lastSequence;',
  },
  {
    name: 'snapshot-drops-tombstones',
    hazard: 'a snapshot leaves out tombstones, and the log behind it is dropped',
    file: 'store/snapshot-writer.js',
    find: '#add = (record) => this.#addRecord(record);',
    replace: '#add = (record) => { if (!record.tombstone) this.#addRecord(record); };',
  },
  {
    name: 'delete-not-logged',
    hazard: 'a delete leaves no tombstone on the disk, and the value comes back',
    file: 'store/durable-store.js',
    find: 'if (results[i] === undefined)\n                    group.add(records[i]);',
    replace:
      'if (results[i] === undefined && (bytes > 60 || !records[i].tombstone))\n                    group.add(records[i]);',
  },
  {
    name: 'last-arrival-wins',
    hazard: 'an older version that comes late overwrites a newer one',
    file: 'store/table.js',
    find: 'return byVersion !== 0 ? byVersion :',
    replace: 'return byVersion !== 0 ? Math.abs(byVersion) :',
  },
  {
    name: 'digest-never-forgets',
    hazard: 'the digest of a slot goes astray, and equal replicas look different for ever',
    file: 'store/table.js',
    find: 'this.#digests.toggleAt(slot, words, this.#arena.bytes[chunk], at);\n        this.#digests.toggle(',
    replace: 'this.#digests.toggle(',
  },
  {
    name: 'expired-is-shown',
    hazard: 'an expired entry is read as if it lived',
    file: 'record/record.js',
    find: '(record.expiresAtMs === 0 || record.expiresAtMs > nowMs)',
    replace: 'true',
  },
]

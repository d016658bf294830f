import {
  type Address,
  type Epoch,
  parseClusterId,
  parseEpoch,
  parseIncarnation,
  parseNodeId,
  type Slot,
} from '@quorumkv/internal/base'
import type { Disk } from '@quorumkv/internal/env'
import { nobodyGranted, type Topology } from '@quorumkv/internal/slots'
import {
  readDocument,
  readHandoverProgress,
  readIdentity,
  writeDocument,
  writeHandoverProgress,
  writeIdentity,
} from '@quorumkv/internal/store'
import { readTopology, writeTopology } from '../../internal/cluster/topology/topology-document.js'
import { readVotes, writeVotes } from '../../internal/cluster/topology/votes-document.js'
import { documentLayout } from '../../internal/store/durable-file.js'
import { readLostDocument, writeLostSlots } from '../../internal/store/lost-slots.js'
import { readManifest, writeManifest } from '../../internal/store/manifest.js'
import { readJournal, writeJournal } from '../../internal/store/repair/repair-journal.js'
import { diskWith, emptyDisk, readFile } from './disk.js'
import type { GoldenFormat, GoldenSample } from './golden.js'

const clusterId = parseClusterId('0123456789abcdef0123456789abcdef')
const incarnations = ['a', 'b', 'c'].map((digit) => parseIncarnation(digit.repeat(32)))
const [n1, n2, n3] = ['n1', 'n2', 'n3'].map((id) => parseNodeId(id)) as [
  ReturnType<typeof parseNodeId>,
  ReturnType<typeof parseNodeId>,
  ReturnType<typeof parseNodeId>,
]
const own = { clusterId, incarnation: incarnations[0]! }

/** With everything in it that a topology can have, except what cannot be there together with a handover. */
const topology: Topology = {
  clusterId,
  epoch: parseEpoch(17),
  replication: { replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
  featureLevel: 1,
  virtualNodes: 64,
  members: [n1, n2, n3].map((id, i) => ({
    id,
    incarnation: incarnations[i]!,
    number: i + 1,
    address: `10.0.0.${i + 1}:50051` as Address,
    zone: i === 0 ? '' : `zone-${i}`,
    weight: 100 + i,
    since: (i === 0 ? 1 : 5) as Epoch,
    state: i === 2 ? ('leaving' as const) : ('serving' as const),
    levels: { min: 1, max: 1 },
    authenticates: false,
  })),
  nextNumber: 9,
  handover: {
    step: 'both',
    since: parseEpoch(16),
    ring: [
      { id: n1, weight: 100 },
      { id: n2, weight: 101 },
    ],
    changes: [{ kind: 'decommission', id: n3 }],
  },
  planned: [{ kind: 'reweight', id: n2, weight: 250 }],
  removed: [
    { id: parseNodeId('n0'), incarnation: parseIncarnation('d'.repeat(32)), epoch: parseEpoch(9), by: 'remove' },
  ],
  forced: { from: parseEpoch(6), at: parseEpoch(8) },
  access: nobodyGranted,
}

/** The same at the feature level that knows who may call. */
const granting: Topology = {
  ...topology,
  featureLevel: 2,
  members: topology.members.map((member, i) => ({ ...member, levels: { min: 1, max: 2 }, authenticates: i !== 1 })),
  access: {
    revision: 4,
    grants: [
      {
        name: 'app',
        role: 'write',
        prefixes: [Uint8Array.of(0, 255), Uint8Array.of(97, 112, 112, 47)],
        tokenHash: new Uint8Array(32).fill(1),
        createdAtMs: 1_700_000_000_000,
        expiresAtMs: 1_800_000_000_000,
      },
      {
        name: 'ops',
        role: 'admin',
        prefixes: [],
        tokenHash: new Uint8Array(32).fill(2),
        createdAtMs: 1_700_000_000_001,
        expiresAtMs: undefined,
      },
    ],
  },
}

/** A document that is written to a disk under a name, and read from there. */
function document<T>(
  name: string,
  value: T,
  write: (disk: Disk, value: T) => Promise<void>,
  read: (disk: Disk) => Promise<T | undefined>,
): GoldenSample {
  const written = async (meaning: T): Promise<Uint8Array> => {
    const disk = emptyDisk()
    await write(disk, meaning)
    return readFile(disk, name)
  }
  return {
    write: () => written(value),
    read: async (bytes) => {
      const found = await read(await diskWith(name, bytes))
      if (found === undefined) throw new Error(`${name} says nothing`)
      return found
    },
    again: (meaning) => written(meaning),
  }
}

/** The clock's ceiling, a number of milliseconds, as internal/cluster/stamping-clock.ts keeps it. */
const clock = document(
  'clock',
  1_700_000_000_123,
  (disk, ms) => {
    const bytes = new Uint8Array(8)
    new DataView(bytes.buffer).setFloat64(0, ms, true)
    return writeDocument(disk, 'clock', bytes)
  },
  async (disk) => {
    const bytes = await readDocument(disk, 'clock')
    return bytes === undefined ? undefined : new DataView(bytes.buffer, bytes.byteOffset).getFloat64(0, true)
  },
)

const slots = [0, 1, 2, 17, 4095] as Slot[]

/** FORMAT.md, "Document": each kind of it. */
export const documents: GoldenFormat = {
  name: 'document',
  version: documentLayout.newest,
  oldest: 1,
  versionAt: 8,
  samples: {
    identity: document(
      'identity',
      { nodeId: n1, incarnation: incarnations[0]!, clusterId },
      writeIdentity,
      readIdentity,
    ),
    'identity-of-no-cluster': document(
      'identity',
      { nodeId: n1, incarnation: incarnations[0]!, clusterId: undefined },
      writeIdentity,
      readIdentity,
    ),
    store: document('store', { ...own, reached: 4_711 }, writeManifest, (disk) => readManifest(disk, own)),
    lost: document(
      'lost',
      { lost: slots, accepted: [5, 6] as Slot[] },
      (disk, { lost, accepted }) => writeLostSlots(disk, lost, accepted),
      readLostDocument,
    ),
    handover: document(
      'handover',
      { since: parseEpoch(16), incarnation: own.incarnation, slots, bytes: 4_711 },
      writeHandoverProgress,
      readHandoverProgress,
    ),
    clock,
    topology: document('topology', topology, writeTopology, readTopology),
    'topology-with-access': document('topology', granting, writeTopology, readTopology),
    votes: document(
      'votes',
      {
        epoch: parseEpoch(18),
        promised: { counter: 7, number: 2 },
        vote: { ballot: { counter: 6, number: 1 }, value: topology },
      },
      writeVotes,
      readVotes,
    ),
    repair: document(
      'repair',
      {
        directory: 'damaged/2026-01-02T03-04-05',
        identity: { nodeId: n1, ...own },
        moves: [{ from: 'log/0000000001.log', to: 'damaged/2026-01-02T03-04-05/log/0000000001.log' }],
      },
      writeJournal,
      async (disk) => {
        const found = await readJournal(disk)
        if (found.state === 'idle') return undefined
        // Its format is that of documents: it says no more than the header.
        const { directory, identity, moves } = found.journal
        return { directory, identity, moves: [...moves] }
      },
    ),
  },
}

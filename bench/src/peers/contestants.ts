import type { Target } from '@quorumkv/cli/bench'
import { type InFlight, type LocalTarget, startLocalKv } from '../local-kv.js'
import { startEtcd } from './etcd.js'
import { EtcdTarget } from './etcd-target.js'
import type { PeerName } from './packages.js'
import { type AppendFsync, startRedis } from './redis.js'
import { RedisTarget, type RedisWait } from './redis-target.js'

/** A store, and how it is set up and asked. */
export interface Contestant {
  /** What `--contestants` and the report name it by. */
  readonly name: string
  /** Whose program it takes; undefined: ours. */
  readonly peer: PeerName | undefined
  /** Where the data is when a write has been acknowledged, and what a read asks. */
  readonly durability: string
  /** Starts it, for a client that has so much in flight at most. When it rejects, nothing is left of it. */
  start(parentDirectory: string, room: InFlight, signal: AbortSignal): Promise<LocalTarget<Target>>
}

const nodes = 3

const ours: Contestant = {
  name: 'quorumkv',
  peer: undefined,
  durability: 'acknowledged: flushed by 2 of 3 nodes; a read asks 2 of 3',
  start: (parentDirectory, room, signal) =>
    startLocalKv({ nodes, fsync: 'always', parentDirectory, signal, consistency: 'quorum', room }),
}

interface RedisKind {
  readonly name: string
  readonly appendFsync: AppendFsync
  readonly replicas: number
  readonly wait: RedisWait
  readonly autoPipelining: boolean
  readonly durability: string
}

function redis({ name, appendFsync, replicas, durability, ...asked }: RedisKind): Contestant {
  return {
    name,
    peer: 'redis',
    durability,
    start: async (parentDirectory, _room, signal) => {
      const group = await startRedis({ appendFsync, replicas, parentDirectory, signal })
      return { group, target: new RedisTarget(group, { ...asked, name, durability }) }
    },
  }
}

const alone = { replicas: 0, wait: 'none' } as const
const always = {
  ...alone,
  appendFsync: 'always',
  durability: 'acknowledged: flushed by the one server; a read asks it',
} as const
const everySecond = {
  ...alone,
  appendFsync: 'everysec',
  durability: 'acknowledged: in the memory of the one server, flushed within a second; a read asks it',
} as const
const replicated = {
  appendFsync: 'always',
  replicas: 2,
  durability: 'acknowledged: flushed by the primary, and told so by 1 of 2 replicas; a read asks the primary alone',
} as const

const etcdDurability = 'acknowledged: flushed by 2 of 3 nodes; a read asks the leader, which asks a majority'

const etcd: Contestant = {
  name: 'etcd',
  peer: 'etcd',
  durability: etcdDurability,
  start: async (parentDirectory, _room, signal) => {
    const group = await startEtcd({ nodes, parentDirectory, signal })
    return { group, target: new EtcdTarget(group, etcdDurability) }
  },
}

/** Everything that can be measured side by side, in the order of reports; the first is what the others are held against. */
export const contestants: readonly [Contestant, ...Contestant[]] = [
  ours,
  redis({ ...replicated, name: 'redis-wait', wait: 'each', autoPipelining: false }),
  redis({ ...replicated, name: 'redis-wait-shared', wait: 'batch', autoPipelining: true }),
  redis({ ...always, name: 'redis-always', autoPipelining: false }),
  redis({ ...always, name: 'redis-always-auto', autoPipelining: true }),
  redis({ ...everySecond, name: 'redis-everysec', autoPipelining: false }),
  redis({ ...everySecond, name: 'redis-everysec-auto', autoPipelining: true }),
  etcd,
]

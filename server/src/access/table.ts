import { FatalError } from '@quorumkv/internal/base'
import type { Role } from '@quorumkv/internal/slots'

/**
 * What it takes to call something. `open`: nothing; `peer`: to be another node of the cluster, which is found out where links
 * between nodes begin; else a principal with that role.
 */
export type Permission = Role | 'open' | 'peer'

export interface Rule {
  readonly permission: Permission
  /** It names keys, and each of them must be one that the principal may use; some of what it does may take more than `permission`. */
  readonly perKey: boolean
  /**
   * What came of it is written to the audit log, and not only that it was refused; `run`: of calls that come by the hundreds
   * what came of the first.
   */
  readonly audited: boolean | 'run'
}

const open: Rule = { permission: 'open', perKey: false, audited: false }
const read: Rule = { permission: 'read', perKey: false, audited: false }
const readKeys: Rule = { permission: 'read', perKey: true, audited: false }
const writeKeys: Rule = { permission: 'write', perKey: true, audited: false }
const admin: Rule = { permission: 'admin', perKey: false, audited: true }

/** Every method of every service that a node has. What is not here cannot be served: a node with such a method does not start. */
export const grpcTable: Readonly<Record<string, Rule>> = {
  '/kv.v1.Kv/Get': readKeys,
  '/kv.v1.Kv/Put': writeKeys,
  '/kv.v1.Kv/Delete': writeKeys,
  '/kv.v1.Kv/Scan': readKeys,
  // Each operation of a session is looked at by itself: puts and deletes take the role `write`.
  '/kv.v1.Kv/Session': readKeys,
  '/kv.v1.Cluster/Status': read,
  '/kv.v1.Cluster/Topology': read,
  '/kv.v1.Cluster/Figures': read,
  '/kv.v1.Cluster/Locate': readKeys,
  '/kv.v1.Cluster/SafeToStop': read,
  '/kv.v1.Cluster/Snapshot': admin,
  '/kv.v1.Cluster/Repair': admin,
  '/kv.v1.Cluster/Decommission': admin,
  '/kv.v1.Cluster/Remove': admin,
  '/kv.v1.Cluster/ForceRemove': admin,
  '/kv.v1.Cluster/Replace': admin,
  '/kv.v1.Cluster/Reweight': admin,
  '/kv.v1.Cluster/CancelHandover': admin,
  '/kv.v1.Cluster/RaiseLevel': admin,
  '/kv.v1.Cluster/Drain': admin,
  '/kv.v1.Cluster/StreamRate': admin,
  // Who takes all keys away, or brings them back, is told; but a backup is hundreds of these calls.
  '/kv.v1.Cluster/BackupSlots': { permission: 'admin', perKey: true, audited: 'run' },
  '/kv.v1.Cluster/RestoreSlots': { permission: 'admin', perKey: true, audited: 'run' },
  // Changes nothing, and is asked again and again until a change has come to all members.
  '/kv.v1.Cluster/AuthList': { permission: 'admin', perKey: false, audited: false },
  '/kv.v1.Cluster/AuthCreate': admin,
  '/kv.v1.Cluster/AuthRevoke': admin,
  '/kv.peer.v1.Peer/Exchange': { permission: 'peer', perKey: false, audited: false },
  '/grpc.health.v1.Health/Check': open,
  '/grpc.health.v1.Health/Watch': open,
  '/grpc.health.v1.Health/List': open,
  '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo': { permission: 'admin', perKey: false, audited: false },
  '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo': {
    permission: 'admin',
    perKey: false,
    audited: false,
  },
}

/**
 * Every route of every method of HTTP, as routes are written (`:key` stands for what a request says there), and the files of the
 * page. What is not here cannot be served: a node with such a route does not start.
 */
export const httpTable: Readonly<Record<string, Rule>> = {
  'GET /livez': open,
  'GET /readyz': open,
  // The page itself, which holds nothing: what it shows it asks for as whoever has signed in.
  'GET /': open,
  'GET /favicon.svg': open,
  'GET /assets/*': open,
  'GET /whoami': open,
  'POST /login': { permission: 'open', perKey: false, audited: true },
  'POST /logout': { permission: 'open', perKey: false, audited: true },
  'GET /version': read,
  'GET /openapi.json': read,
  'GET /metrics': read,
  'GET /cluster': read,
  'GET /routing_table': read,
  'GET /feed': read,
  'GET /partition/': readKeys,
  'GET /partition/:key': readKeys,
  'GET /locate/:key': readKeys,
  'GET /kv': readKeys,
  'GET /kv/': readKeys,
  'GET /kv/:key': readKeys,
  'PUT /kv/': writeKeys,
  'PUT /kv/:key': writeKeys,
  'DELETE /kv/': writeKeys,
  'DELETE /kv/:key': writeKeys,
}

/** As `ruleOf`, for a route. `metricsOpen`: whoever collects figures has no token. */
export function ruleOfRoute(method: string, path: string, metricsOpen: boolean): Rule {
  const file = path.startsWith('/assets/') ? '/assets/*' : path
  const rule = ruleOf(httpTable, `${method} ${file}`)
  return metricsOpen && path === '/metrics' ? open : rule
}

/** What it takes to call a method of a table. Throws FatalError `bug` for one that nobody has thought about. */
export function ruleOf(table: Readonly<Record<string, Rule>>, method: string): Rule {
  const rule = Object.hasOwn(table, method) ? table[method] : undefined
  if (rule !== undefined) return rule
  throw new FatalError('bug', `${method} is served, and server/src/access/table.ts does not say who may call it`)
}

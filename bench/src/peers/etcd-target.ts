import { Client, credentials } from '@grpc/grpc-js'
import { localUsage, type ProcessUsage, type Target, type TargetClient } from '@quorumkv/cli/bench'
import { limits } from '../limits.js'
import type { ServerGroup } from '../server-group.js'
import { ServerError } from '../server-process.js'
import { decodeIsLeader, decodeRangeValue, encodePutRequest, encodeRangeRequest } from './etcd-messages.js'

function connectTo(address: string): Client {
  // A connection that no other client shares.
  return new Client(address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 })
}

/** One unary call as a promise, without anything beside it. */
function unary<Request, Response>(
  client: Client,
  path: string,
  encode: (request: Request) => Buffer,
  decode: (bytes: Buffer) => Response,
): (request: Request) => Promise<Response> {
  return (request) =>
    new Promise((resolve, reject) => {
      client.makeUnaryRequest(path, encode, decode, request, (error, response) => {
        if (error === null) resolve(response as Response)
        else reject(error)
      })
    })
}

/** Asks etcd's leader: a follower would send writes, and the question how far a read must wait, on to it. */
class EtcdClient implements TargetClient {
  readonly read: (key: string) => Promise<Uint8Array | undefined>
  readonly #put: (request: { readonly key: string; readonly value: Buffer }) => Promise<void>
  readonly #client: Client

  constructor(client: Client) {
    this.#client = client
    this.read = unary(client, '/etcdserverpb.KV/Range', encodeRangeRequest, decodeRangeValue)
    this.#put = unary(client, '/etcdserverpb.KV/Put', encodePutRequest, () => undefined)
  }

  write(key: string, value: Buffer): Promise<void> {
    return this.#put({ key, value })
  }

  close(): Promise<void> {
    this.#client.close()
    return Promise.resolve()
  }
}

async function isLeader(address: string): Promise<boolean> {
  const client = connectTo(address)
  try {
    const status = unary(client, '/etcdserverpb.Maintenance/Status', () => Buffer.alloc(0), decodeIsLeader)
    return await status(undefined)
  } finally {
    client.close()
  }
}

async function leaderOf(endpoints: readonly string[], signal: AbortSignal): Promise<string> {
  const deadline = performance.now() + limits.nodeReadyMs
  while (performance.now() < deadline) {
    signal.throwIfAborted()
    for (const endpoint of endpoints) if (await isLeader(endpoint)) return endpoint
  }
  throw new ServerError(`etcd had no leader within ${limits.nodeReadyMs / 1000} s`)
}

/** A cluster of etcd as a store under load, through its own gRPC API. */
export class EtcdTarget implements Target {
  readonly name = 'etcd'
  /** Reads are linearizable. */
  readonly reads = 'fresh'
  readonly failed: AbortSignal
  readonly #group: ServerGroup
  readonly #durability: string

  /** @param durability - told in reports */
  constructor(group: ServerGroup, durability: string) {
    this.failed = group.failed
    this.#group = group
    this.#durability = durability
  }

  describe(): Promise<Readonly<Record<string, string>>> {
    return Promise.resolve({ durability: this.#durability })
  }

  async connect(signal: AbortSignal): Promise<TargetClient> {
    return new EtcdClient(connectTo(await leaderOf(this.#group.endpoints, signal)))
  }

  serverUsage(): Promise<readonly ProcessUsage[]> {
    return localUsage(this.#group.processes)
  }
}

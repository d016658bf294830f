import { connect, createServer, type Server, type Socket } from 'node:net'
import { Client, credentials, status } from '@grpc/grpc-js'
import { limits } from '@quorumkv/internal/base'
import { ClusterClient, ClusterService } from '@quorumkv/proto/kv/v1/cluster'
import { KvClient, KvService } from '@quorumkv/proto/kv/v1/kv'
import { clientMessages } from '../corpus.js'
import { LiveNode } from '../live-node.js'
import { mutate } from '../mutate.js'
import { Fault, type Target } from '../target.js'
import { exchange } from './http.js'

const isHonest = (key: string): boolean => key.startsWith('honest')

/** What clients send over whole connections: everything between a client and the node goes through here, and is kept. */
async function recorded(port: number): Promise<Buffer[]> {
  const streams: Buffer[][] = []
  const sockets: Socket[] = []
  const proxy: Server = createServer((client) => {
    const sent: Buffer[] = []
    streams.push(sent)
    const node = connect(port, '127.0.0.1')
    sockets.push(client, node)
    for (const socket of [client, node]) socket.on('error', () => socket.destroy())
    client.on('data', (chunk) => sent.push(chunk))
    client.pipe(node).pipe(client)
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const { port: here } = proxy.address() as { port: number }
  const one = async (work: (address: string) => Promise<Client>): Promise<void> =>
    (await work(`127.0.0.1:${here}`)).close()
  const done = (start: (callback: () => void) => unknown): Promise<void> =>
    new Promise((resolve) => void start(() => resolve()))
  const key = Buffer.from('case grpc')
  await one(async (address) => {
    const kv = new KvClient(address, credentials.createInsecure())
    await done((callback) => kv.get({ key, consistency: 0 }, callback))
    const value = Buffer.alloc(100, 'v')
    await done((callback) => kv.put({ key, value, ttlMs: 60_000n, consistency: 0, returnPrevious: true }, callback))
    return kv
  })
  await one(async (address) => {
    const kv = new KvClient(address, credentials.createInsecure())
    const scan = kv.scan({
      prefix: Buffer.from('h'),
      pageSize: 3,
      cursor: Buffer.alloc(0),
      consistency: 0,
      keysOnly: false,
    })
    await done((callback) => scan.on('data', () => undefined).on('end', callback))
    return kv
  })
  await one(async (address) => {
    const cluster = new ClusterClient(address, credentials.createInsecure())
    await done((callback) => cluster.status({}, callback))
    return cluster
  })
  await one(async (address) => {
    const raw = new Client(address, credentials.createInsecure())
    const same = (bytes: Buffer): Buffer => bytes
    const call = raw.makeBidiStreamRequest(KvService.session.path, same, same)
    await done((callback) => {
      call.on('data', callback).on('error', callback)
      call.write(Buffer.from(clientMessages()[1]!))
    })
    call.end()
    return raw
  })
  proxy.close()
  for (const socket of sockets) socket.destroy()
  return streams.map((sent) => Buffer.concat(sent))
}

/** Bytes to the port of gRPC: frames of HTTP/2, or none. */
export const grpcBytes: Target = {
  name: 'grpc-bytes',
  share: 6,
  keptBytesPerCase: 2_000,
  atOnce: 32,
  async open() {
    const live = await LiveNode.start()
    const corpus = await recorded(live.grpcPort)
    return {
      make: (random) => mutate(random, corpus),
      run: async (input) => {
        const answer = await exchange(live.grpcPort, input)
        live.checkAlive()
        return answer.length > 100 ? 'taken' : 'refused'
      },
      settle: () => live.check((key) => !isHonest(key)),
      close: () => live[Symbol.asyncDispose](),
    }
  },
}

/** A node that drains has done what it was told, and takes no cases any more; a snapshot is asked for with nothing that could be wrong. */
const methods = [...Object.values(KvService), ...Object.values(ClusterService)].filter(
  ({ path, requestStream, responseStream }) => !requestStream && !responseStream && !/\/(?:Drain|Snapshot)$/.test(path),
)

/** Messages of unary methods in frames that fit, to a whole node. The first byte of an input says of which. */
export const grpcMessage: Target = {
  name: 'grpc-message',
  share: 11,
  keptBytesPerCase: 2_000,
  async open() {
    const live = await LiveNode.start()
    const client = new Client(`127.0.0.1:${live.grpcPort}`, credentials.createInsecure())
    const same = (bytes: Buffer): Buffer => bytes
    // Nobody whose name is like this node's: a change of members that makes sense would be made.
    const change = Buffer.from([0x0a, 0x06, ...Buffer.from('nobody'), 0x10, 0x01])
    const corpus = [...clientMessages(), change, Buffer.alloc(0)]
    return {
      make: (random) => Buffer.concat([Uint8Array.of(random.below(methods.length)), mutate(random, corpus)]),
      run: async (input) => {
        const { path } = methods[(input[0] ?? 0) % methods.length]!
        const before = live.digest
        const code = await new Promise<number>((resolve) => {
          const deadline = Date.now() + 5_000
          client.makeUnaryRequest(path, same, same, Buffer.from(input.subarray(1)), { deadline }, (error) =>
            resolve(error?.code ?? status.OK),
          )
        })
        live.checkAlive()
        // A case may have made it one byte in a second, for which the next ones would wait as they should.
        live.core.handovers!.streamBytesPerSecond = limits.streamBytesPerSecond
        if (code === status.DEADLINE_EXCEEDED) throw new Fault(`${path} was not answered`)
        if (code === status.UNKNOWN) throw new Fault(`${path} failed in a way that nobody foresaw`)
        const isWrite = path === KvService.put.path || path === KvService.delete.path
        if (live.digest !== before && !(isWrite && code === status.OK))
          throw new Fault(`something is stored by ${path}, answered with ${code}`)
        return code === status.OK ? 'taken' : 'refused'
      },
      settle: () => live.check((key) => !isHonest(key)),
      close: async () => {
        client.close()
        await live[Symbol.asyncDispose]()
      },
    }
  },
}

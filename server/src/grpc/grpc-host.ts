import {
  type Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import type { Log, Network } from '@quorumkv/internal/env'
import type { AccessControl } from '../access/access-control.js'
import { GuardedServer } from '../access/guarded-server.js'
import { grpcTable } from '../access/table.js'
import { formatAddress, type ListenAddress } from '../config/addresses.js'
import type { DoorReading } from '../limits/door-reading.js'
import type { GuardedHttp2Server, Http2Guard, Http2GuardOptions } from '../limits/http2-guard.js'
import { GrpcNetwork, peerBytesService } from '../links/grpc-network.js'
import type { Traffic } from '../links/link-traffic.js'
import { bindAll } from '../listening.js'
import { markChannel } from '../tls/channel-binding.js'
import { blindTrust, type LinkTrust } from '../tls/link-trust.js'
import { FollowingServerCredentials, type ServerTls } from '../tls/server-credentials.js'
import { serverOptions } from './grpc-options.js'

/** What is cut off is waited for so long. */
const cutOffMs = 500

/** How a server is spoken to, and whom it takes for another node. */
export interface HostSecurity {
  /** Undefined: nothing is encrypted. */
  readonly tls: ServerTls | undefined
  readonly trust: LinkTrust
}

/**
 * The one gRPC server of a node: clients and other nodes call the same port. It is bound before the node behind it
 * exists, so that a port in use is found before a store is opened, which may take minutes; until then its services
 * answer UNAVAILABLE.
 */
export class GrpcHost {
  readonly #server: GuardedServer
  readonly #log: Log
  readonly #network: GrpcNetwork
  readonly #bound: string[] = []
  readonly #credentials: ServerCredentials
  readonly #tls: ServerTls | undefined
  #stopped: Promise<void> | undefined

  constructor(
    log: Log,
    onBug: (error: unknown) => void,
    access: AccessControl,
    { tls, trust }: HostSecurity = { tls: undefined, trust: blindTrust },
    tuning: Omit<Http2GuardOptions, 'takesStream' | 'isForNodes' | 'log'> = {},
  ) {
    this.#log = log
    this.#server = new GuardedServer(serverOptions(), access, grpcTable, {
      log,
      prepare: markChannel,
      ...(tls !== undefined && { watch: (server: GuardedHttp2Server) => tls.door.watch(server, 'grpc') }),
      ...tuning,
    })
    this.#tls = tls
    this.#credentials = tls === undefined ? ServerCredentials.createInsecure() : new FollowingServerCredentials(tls)
    this.#network = new GrpcNetwork({ isBound: (address) => this.#bound.includes(address), onBug, log, trust })
    this.#server.addService(peerBytesService, { exchange: this.#network.serve })
  }

  /** Connections to and from other nodes. */
  get network(): Network {
    return this.#network
  }

  /** What went over links to and from other nodes, each of which has a connection of its own. */
  get traffic(): Traffic {
    return this.#network.traffic
  }

  /** What stands before its connections. */
  get guard(): Http2Guard {
    return this.#server.guard
  }

  /** What it counts, for those who watch the node. */
  read(): DoorReading {
    const reading = this.guard.read()
    return this.#tls === undefined ? reading : { ...reading, handshakesFailed: this.#tls.door.failed('grpc') }
  }

  /** For services that add themselves. */
  get server(): Server {
    return this.#server
  }

  /** The paths of all methods that can be called. */
  get methods(): ReadonlySet<string> {
    return this.#server.methods
  }

  addService(definition: ServiceDefinition, implementation: UntypedServiceImplementation): void {
    this.#server.addService(definition, implementation)
  }

  /**
   * Listens on all addresses; resolves to those that were bound, with the real port. Rejects with FatalError `usage`
   * that names the address.
   */
  async bind(addresses: readonly ListenAddress[]): Promise<readonly string[]> {
    const bound = await bindAll(addresses, (host, port) => this.#bindOne(formatAddress(host, port)), this.#log)
    this.#bound.push(...bound)
    return bound
  }

  /**
   * Closes links to other nodes at once, lets client calls that run end within `graceMs`, then cuts off what is left.
   * Idempotent.
   */
  stop(graceMs: number): Promise<void> {
    this.#stopped ??= new Promise((resolve) => {
      this.#network.closeLinks('the node stops')
      // Not `forceShutdown` after a while: without channelz it knows no connections, and cuts off none.
      for (const address of this.#bound) this.#server.drain(address, graceMs)
      // Node ends a connection in order by waiting for the other end to do so, and one that stands still never does: its
      // connection is left to the end of the process.
      const late = setTimeout(resolve, graceMs + cutOffMs)
      this.#server.tryShutdown(() => {
        clearTimeout(late)
        this.#server.guard.stop()
        resolve()
      })
    })
    return this.#stopped
  }

  #bindOne(address: string): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(address, this.#credentials, (error, port) => {
        if (error === null) resolve(port)
        else reject(error)
      })
    })
  }
}

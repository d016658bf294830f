import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import type { Channel, Link, Listener, Network } from '@quorumkv/internal/env'
import { describeNetwork } from '../../../internal/env/network.conformance.js'
import { openAccess, recordingLog } from '../calls/services.test-support.js'
import { splitAddress } from '../config/addresses.js'
import { GrpcHost } from '../grpc/grpc-host.js'

function throwIt(error: unknown): void {
  throw error
}

function makeHost(): GrpcHost {
  return new GrpcHost(recordingLog([]), throwIt, openAccess)
}

/** A Network that, as a node does, binds a host of its own before it listens. */
class HostingNetwork implements Network {
  readonly #caller = makeHost()
  readonly #listening = new Set<GrpcHost>()

  connect(address: string, channel: Channel, timeoutMs: number): Promise<Link> {
    return this.#caller.network.connect(address, channel, timeoutMs)
  }

  async listen(address: string, accept: (link: Link, channel: Channel) => void): Promise<Listener> {
    const host = makeHost()
    const [bound] = await host.bind([{ ...splitAddress(address), optional: false }])
    this.#listening.add(host)
    const listener = await host.network.listen(bound!, accept)
    return {
      address: listener.address,
      close: async () => {
        await listener.close()
        await host.stop(100)
        this.#listening.delete(host)
      },
    }
  }

  async stop(): Promise<void> {
    await Promise.all([this.#caller, ...this.#listening].map((host) => host.stop(100)))
  }
}

/** A port that the kernel has just given and taken back. */
async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

describeNetwork('GrpcNetwork', async () => {
  const networks: HostingNetwork[] = []
  const ports = await Promise.all(Array.from({ length: 8 }, freePort))
  return {
    makeNetwork: async () => {
      const network = new HostingNetwork()
      networks.push(network)
      return network
    },
    freeAddress: () => `127.0.0.1:${ports.shift()}`,
    settle: (promise) => promise,
    close: async () => {
      await Promise.all(networks.map((network) => network.stop()))
    },
  }
})

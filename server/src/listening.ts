import { FatalError } from '@quorumkv/internal/base'
import type { Log } from '@quorumkv/internal/env'
import { formatAddress, type ListenAddress } from './config/addresses.js'

/** gRPC tells why it could not bind only in words; Node's own errors have the same words in them. */
function isMissingAddress(error: Error): boolean {
  return /EADDRNOTAVAIL|EAFNOSUPPORT|ENOTFOUND/.test(error.message)
}

function bindError(address: string, error: Error): FatalError {
  const why = /EADDRINUSE/.test(error.message)
    ? 'another process listens there already'
    : isMissingAddress(error)
      ? 'this machine has no such address'
      : /EACCES/.test(error.message)
        ? 'this user may not listen there'
        : error.message
  return new FatalError('usage', `cannot listen on ${address}: ${why}`, error)
}

/**
 * Listens on all of `addresses` by `bindOne`, which resolves to the port that it got; resolves to those that were bound,
 * with the real port, the same for all where any free one was wanted. Rejects with FatalError `usage` that names the
 * address.
 */
export async function bindAll(
  addresses: readonly ListenAddress[],
  bindOne: (host: string, port: number) => Promise<number>,
  log: Log,
): Promise<readonly string[]> {
  let sharedPort = 0
  const bound: string[] = []
  for (const { host, port, optional } of addresses) {
    const wanted = port === 0 ? sharedPort : port
    try {
      sharedPort = await bindOne(host, wanted)
      bound.push(formatAddress(host, sharedPort))
    } catch (error) {
      if (!(error instanceof Error)) throw error
      const address = formatAddress(host, wanted)
      if (!optional || !isMissingAddress(error)) throw bindError(address, error)
      log.info('this machine has no such address; going on without it', { address })
    }
  }
  return bound
}

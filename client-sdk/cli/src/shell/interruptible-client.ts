import type { CallOptions } from '@quorumkv/client'
import type { Client } from '../context.js'

/**
 * The shell's client as one command sees it: every call ends with `cancelled` when `signal` fires, and closing it does
 * nothing, because the next command goes on with it. Changes of the cluster by `operator` are left alone: what has been
 * asked for is not called off by Ctrl-C, and the commands say so.
 */
export function interruptible(client: Client, signal: AbortSignal): Client {
  const and = <Options extends CallOptions>(options: Options | undefined): Options => {
    const own = options?.signal
    return { ...options, signal: own === undefined ? signal : AbortSignal.any([own, signal]) } as Options
  }
  return {
    operator: client.operator,
    // Of its two forms the one that tells less: what was replaced comes with the result where it was asked for.
    put: ((key, value, options) => client.put(key, value, and(options))) as Client['put'],
    getBytes: (key, options) => client.getBytes(key, and(options)),
    getEntry: (key, options) => client.getEntry(key, and(options)),
    getManyEntries: (keys, options) => client.getManyEntries(keys, and(options)),
    delete: (key, options) => client.delete(key, and(options)),
    scan: (options) => client.scan(and(options)),
    status: (endpoint, options) => client.status(endpoint, and(options)),
    statusAll: (options) => client.statusAll(and(options)),
    topology: (options) => client.topology(and(options)),
    partition: (key, options) => client.partition(key, and(options)),
    snapshot: (endpoint, options) => client.snapshot(endpoint, and(options)),
    repair: (endpoint, options) => client.repair(endpoint, and(options)),
    ready: (options) => client.ready(and(options)),
    stats: () => client.stats(),
    close: async () => undefined,
  }
}

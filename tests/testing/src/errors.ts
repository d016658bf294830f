import { KvError } from '@quorumkv/client'
import { KvError as NodeError } from '@quorumkv/server'

/*
 * Nodes and clients are packages apart, each with a class of its own under the same name. A test meets both in one
 * place, and is to know one: the client's.
 */

/** A node's error as the client's would tell it; everything else as it is. */
function told(error: unknown): unknown {
  if (!(error instanceof NodeError)) return error
  const { code, message, field, outcome } = error
  return new KvError(code, message, { field, outcome, cause: error })
}

/** Runs what may throw an error of a node. */
export function telling<T>(run: () => T): T {
  try {
    return run()
  } catch (error) {
    throw told(error)
  }
}

/** Waits for what may reject with an error of a node. */
export async function tellingLater<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    throw told(error)
  }
}

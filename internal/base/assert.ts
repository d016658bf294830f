/** A broken assumption of ours: a bug, never a user's or a disk's doing. It ends the process with status 70. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

/** Ends the process (by throwing AssertionError) where our own code is wrong. Not for input and not for faults. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message)
}

/** For the default branch of a switch over a union: the compiler proves that it cannot be reached. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${JSON.stringify(value)}`)
}

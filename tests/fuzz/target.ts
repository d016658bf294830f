import type { SimRandom } from '@quorumkv/internal/env-sim'

/** What became of a case: the input was taken for what it says, or refused with an error of the kind that is promised. */
export type Verdict = 'taken' | 'refused'

/** Something that reads what others have written. Each has a name for `--target`. */
export interface Target {
  readonly name: string
  /** How many of 1,000 cases of a whole run go to it. */
  readonly share: number
  /** One case may hold so much memory for each byte of its input; 1,000 unless given. */
  readonly bytesPerByteMax?: number
  /** What it keeps for each case for good, as a node keeps what was written to it; 0 unless given. */
  readonly keptBytesPerCase?: number
  /** So many cases side by side, for a target that mostly waits; 1 unless given. */
  readonly atOnce?: number
  open(): Promise<OpenTarget>
}

/** A target that is ready for cases. */
export interface OpenTarget {
  /** The input of one case; all that is left to chance in it follows from `random`. */
  make(random: SimRandom): Uint8Array
  /** Reads one input. What it throws is a fault: refusals that are promised are caught and told as `refused`. */
  run(input: Uint8Array): Verdict | Promise<Verdict>
  /** What cases have come to, for a target that tells more than taken from refused: printed in the end. */
  readonly outcomes?: ReadonlyMap<string, number>
  /** Called after every so many cases and in the end: throws a Fault where something is stored that must not be. */
  settle?(): Promise<void>
  close?(): Promise<void>
}

/** Something that must not be, found by a target itself. */
export class Fault extends Error {
  override readonly name = 'Fault'
}

/** Runs `read`, and takes errors for refusals that are one of `promised`; others are thrown on. */
export function refusedBy(promised: (error: unknown) => boolean, read: () => unknown): Verdict {
  try {
    read()
    return 'taken'
  } catch (error) {
    if (promised(error)) return 'refused'
    throw error
  }
}

/** The same where reading takes time. */
export async function refusedLaterBy(
  promised: (error: unknown) => boolean,
  read: () => Promise<unknown>,
): Promise<Verdict> {
  try {
    await read()
    return 'taken'
  } catch (error) {
    if (promised(error)) return 'refused'
    throw error
  }
}

import { RecordFormatError } from '../record/index.js'

/** Malformed records are the sender's fault, and end its link: why. Anything else that is thrown is a bug of ours. */
export function guarded(act: () => void): string | undefined {
  try {
    act()
    return undefined
  } catch (error) {
    if (error instanceof RecordFormatError) return `malformed records: ${error.message}`
    throw error
  }
}

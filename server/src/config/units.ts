import { invalidArgument } from '@quorumkv/internal/base'

const durationUnitsMs: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

const sizeUnitsBytes: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  kB: 1_000,
  KB: 1_000,
  MB: 1_000_000,
  GB: 1_000_000_000,
  KiB: 1_024,
  MiB: 1_048_576,
  GiB: 1_073_741_824,
}

function checkRange(value: number, text: string, label: string, min: number, max: number, unit: string): number {
  if (value < min || value > max) {
    throw invalidArgument(label, `must be ${min} to ${max}${unit}, got ${JSON.stringify(text)}`)
  }
  return value
}

/** A whole number from `min` to `max`. Throws `invalid-argument` naming `label`. */
export function parseWhole(text: string, label: string, min: number, max: number): number {
  if (!/^\d{1,15}$/.test(text)) throw invalidArgument(label, `must be a whole number, got ${JSON.stringify(text)}`)
  return checkRange(Number(text), text, label, min, max, '')
}

/** A duration with its unit, such as `250ms`, `300s`, `10m`, in milliseconds. Throws `invalid-argument`. */
export function parseDurationMs(text: string, label: string, minMs: number, maxMs: number): number {
  const match = /^(\d{1,15}(?:\.\d{1,3})?)(ms|s|m|h|d)$/.exec(text)
  if (match === null) {
    throw invalidArgument(label, `must be a duration such as 250ms, 300s or 10m, got ${JSON.stringify(text)}`)
  }
  const valueMs = Math.round(Number(match[1]) * durationUnitsMs[match[2]!]!)
  return checkRange(valueMs, text, label, minMs, maxMs, ' ms')
}

/** A number of bytes, such as `65536`, `64KiB`, `256MiB`. Throws `invalid-argument`. */
export function parseSizeBytes(text: string, label: string, minBytes: number, maxBytes: number): number {
  const match = /^(\d{1,15})(|B|[kKMG]B|[KMG]iB)$/.exec(text)
  if (match === null)
    throw invalidArgument(label, `must be a size such as 64KiB or 256MiB, got ${JSON.stringify(text)}`)
  return checkRange(Number(match[1]) * sizeUnitsBytes[match[2]!]!, text, label, minBytes, maxBytes, ' bytes')
}

/** Yes or no. Throws `invalid-argument`. */
export function parseBoolean(text: string, label: string): boolean {
  switch (text.toLowerCase()) {
    case 'true':
    case 'yes':
    case '1':
      return true
    case 'false':
    case 'no':
    case '0':
      return false
    default:
      throw invalidArgument(label, `must be true or false, got ${JSON.stringify(text)}`)
  }
}

/** One of a few words. Throws `invalid-argument`. */
export function parseChoice<Choice extends string>(text: string, label: string, choices: readonly Choice[]): Choice {
  const choice = choices.find((candidate) => candidate === text)
  if (choice === undefined) {
    throw invalidArgument(label, `must be one of ${choices.join(', ')}, got ${JSON.stringify(text)}`)
  }
  return choice
}

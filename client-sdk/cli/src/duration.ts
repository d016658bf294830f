import { UsageError } from './exit.js'

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/**
 * Milliseconds of `500ms`, `30s`, `1.5h`, `2d` or `1h30m`, a whole number of at least 1. Throws a UsageError that names
 * `field`. A bare number is refused unless `bareMs`: "--ttl 30" means seconds to some and milliseconds to others.
 */
export function parseDuration(text: string, field: string, bareMs = false): number {
  const wrong = (): UsageError =>
    new UsageError(
      field,
      `${field} must be a duration such as 500ms, 30s, 5m, 1h30m or 2d${bareMs ? ', or milliseconds' : ''}, got ${JSON.stringify(text)}`,
    )
  if (bareMs && /^\d+$/.test(text)) return whole(Number(text), field, text)
  if (!/^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/.test(text)) throw wrong()
  let total = 0
  for (const part of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) total += Number(part[1]) * unitMs[part[2]!]!
  return whole(total, field, text)
}

function whole(ms: number, field: string, text: string): number {
  const rounded = Math.round(ms)
  if (rounded < 1 || !Number.isSafeInteger(rounded)) {
    throw new UsageError(field, `${field} must be at least 1 ms and fit a number, got ${JSON.stringify(text)}`)
  }
  return rounded
}

/** For people: the two largest units, `2.1 s`, `3m 20s`, `4d 2h`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`
  const seconds = Math.round(ms / 1000)
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${seconds % 60}s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 1440) return `${Math.floor(minutes / 60)}h ${minutes % 60}m`
  const hours = Math.floor(minutes / 60)
  return `${Math.floor(hours / 24)}d ${hours % 24}h`
}

/** Numbers for people. What is unknown is shown as an en dash. */

export const unknown = '–'

const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const

/** Three digits that mean something. */
function threeDigits(value: number): string {
  if (value >= 100 || Number.isInteger(value)) return Math.round(value).toLocaleString('en-US')
  return value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

export function bytesText(bytes: number | undefined): string {
  if (bytes === undefined) return unknown
  let [value, unit] = [bytes, 0]
  while (value >= 1_024 && unit < byteUnits.length - 1) {
    value /= 1_024
    unit++
  }
  return `${unit === 0 ? value : threeDigits(value)} ${byteUnits[unit]}`
}

/** 1,234 → "1.23 k". */
export function countText(count: number | undefined): string {
  if (count === undefined) return unknown
  if (count < 10_000) return Math.round(count).toLocaleString('en-US')
  if (count < 1_000_000) return `${threeDigits(count / 1_000)} k`
  return count < 1e9 ? `${threeDigits(count / 1e6)} M` : `${threeDigits(count / 1e9)} G`
}

/** In a second; small ones keep a digit behind the point. */
export function rateText(rate: number | undefined): string {
  if (rate === undefined) return unknown
  return rate > 0 && rate < 10 && !Number.isInteger(rate) ? rate.toFixed(1) : countText(rate)
}

/** Microseconds as µs, ms or s; 0 means that nothing was measured. */
export function latencyText(us: number | undefined): string {
  if (us === undefined || us === 0) return unknown
  if (us < 1_000) return `${Math.round(us)} µs`
  return us < 1_000_000 ? `${threeDigits(us / 1_000)} ms` : `${threeDigits(us / 1_000_000)} s`
}

export function percentText(share: number | undefined): string {
  if (share === undefined) return unknown
  return `${(100 * share).toFixed(share < 0.0995 ? 2 : 1)} %`
}

/** "+12 ms": how far a clock is ahead. */
export function offsetText(ms: number | undefined): string {
  if (ms === undefined) return unknown
  const sign = ms > 0 ? '+' : ms < 0 ? '−' : '±'
  return `${sign}${Math.abs(ms) < 10_000 ? `${Math.abs(ms)} ms` : `${(Math.abs(ms) / 1_000).toFixed(1)} s`}`
}

const clockTime = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' })
const dateTime = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' })

/** The time of day, where the reader is. */
export function timeText(ms: number): string {
  return clockTime.format(ms)
}

export function dateTimeText(ms: number): string {
  return Math.abs(ms) <= 8.64e15 ? dateTime.format(ms) : unknown
}

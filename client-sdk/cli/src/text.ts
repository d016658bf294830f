/** `12,345` */
export function formatCount(count: number): string {
  return count.toLocaleString('en-US', { maximumFractionDigits: 0 })
}

/** `1 record`, `12,345 records` */
export function plural(count: number, noun: string, nouns = `${noun}s`): string {
  return `${formatCount(count)} ${count === 1 ? noun : nouns}`
}

/** `512 B`, `1.5 KiB`, `23.4 MiB` */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const
  let unit = 0
  let size = bytes
  // 1023.95 would be shown as 1024.0 of its unit.
  while (size >= 1023.95 && unit < units.length - 1) {
    size /= 1024
    unit += 1
  }
  return `${unit === 0 ? size : size.toFixed(1)} ${units[unit]}`
}

/**
 * Text that cannot move the cursor, change colours or retitle a terminal: what is stored may come from anyone. Control
 * characters and marks that reverse the direction of text become escapes; `keep` lists those that are let through.
 */
export function visible(text: string, keep = ''): string {
  return text.replace(/[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu, (char) => {
    if (keep.includes(char)) return char
    if (char === '\n') return '\\n'
    if (char === '\t') return '\\t'
    if (char === '\r') return '\\r'
    const code = char.charCodeAt(0)
    return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`
  })
}

/** At most `charsMax` characters; what was cut off is told by its size. */
export function shorten(text: string, charsMax: number, bytes: number): string {
  if (text.length <= charsMax) return text
  // Not between the halves of a surrogate pair.
  const end = /[\ud800-\udbff]/.test(text[charsMax - 1]!) ? charsMax - 1 : charsMax
  return `${text.slice(0, end)}… (${formatBytes(bytes)})`
}

/** Bytes of `500000`, `64KiB` or `1.5 GiB`; undefined: it is none of these, or less than one. */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?) ?(B|KiB|MiB|GiB)?$/i.exec(text)
  if (match === null) return undefined
  const power = ['b', 'kib', 'mib', 'gib'].indexOf((match[2] ?? 'B').toLowerCase())
  const bytes = Math.round(Number(match[1]) * 1024 ** power)
  return bytes >= 1 && Number.isSafeInteger(bytes) ? bytes : undefined
}

/** When it was begun, and four digits of its id: names sort by time. */
const namePattern = /^\d{8}T\d{6}Z-[0-9a-f]{4}$/

const manifestEnd = '.manifest'

export function isBackupName(text: string): boolean {
  return namePattern.test(text)
}

export function manifestPath(name: string): string {
  return `${name}${manifestEnd}`
}

/** `segment` counts from 1. */
export function segmentPath(name: string, segment: number): string {
  return `${name}.${String(segment).padStart(4, '0')}.segment`
}

/** What a file of a directory of backups is; undefined: it is no file of ours. */
export function fileOf(
  path: string,
): { readonly name: string; readonly kind: 'manifest' | 'segment' | 'tmp' } | undefined {
  const [name = '', ...rest] = path.split('.')
  if (!isBackupName(name)) return undefined
  const end = rest.join('.')
  if (end === 'manifest') return { name, kind: 'manifest' }
  if (end === 'manifest.tmp') return { name, kind: 'tmp' }
  return /^\d{4,}\.segment$/.test(end) ? { name, kind: 'segment' } : undefined
}

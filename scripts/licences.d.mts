import type { Lock } from './lockfile.mjs'

export function isAllowed(expression: string, allowed: ReadonlySet<string>): boolean
export function licenceFaults(lock: Lock): string[]

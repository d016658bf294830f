import type { Member } from '@quorumkv/client'
import { UsageError } from './exit.js'

/** The member that `--node`, or another argument, names. Throws a UsageError that lists those that there are. */
export function memberNamed(members: readonly Member[], id: string, field = '--node'): Member {
  const member = members.find((one) => one.id === id)
  if (member !== undefined) return member
  throw new UsageError(field, `${field} must be one of ${members.map((one) => one.id).join(', ')}, got ${id}`)
}

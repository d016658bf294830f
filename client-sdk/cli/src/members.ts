import type { Member } from '@quorumkv/client'
import { UsageError } from './exit.js'

/** The member that `--node` names. Throws a UsageError that lists those that there are. */
export function memberNamed(members: readonly Member[], id: string): Member {
  const member = members.find((one) => one.id === id)
  if (member !== undefined) return member
  throw new UsageError('--node', `--node must be one of ${members.map((one) => one.id).join(', ')}, got ${id}`)
}

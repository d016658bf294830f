import { descriptionRumour, type MemberState, type MemberTable, outranks, statusRumour } from './members.js'
import { type DigestEntry, type Rumour, rumourBytes } from './messages.js'

/** What the two sides of an exchange can give each other. */
export interface Differences {
  /** What this side knows better: to be told, the most important first. */
  readonly better: readonly Rumour[]
  /** What the other side knows better, and this side cannot take from the digest alone. */
  readonly wanted: readonly number[]
  /** Members of which the other side says that they are dead or have left, and this side has not heard so. */
  readonly gone: readonly DigestEntry[]
}

/** Compares what is known here with the digest of another node. Members that only the other knows are passed over. */
export function differences(members: MemberTable, digest: readonly DigestEntry[]): Differences {
  const theirs = new Map(digest.map((entry) => [entry.number, entry]))
  const better: Rumour[] = []
  const wanted: number[] = []
  const gone: DigestEntry[] = []
  for (const member of members.all) {
    const entry = theirs.get(member.number)
    better.push(...betterThan(member, entry))
    if (entry === undefined) continue
    const later = outranks(entry, member)
    if (later && (entry.status === 'dead' || entry.status === 'left')) gone.push(entry)
    if (entry.described > member.described || (later && entry.status === 'suspect')) wanted.push(member.number)
  }
  return { better, wanted, gone }
}

function betterThan(member: MemberState, entry: DigestEntry | undefined): Rumour[] {
  const described = member.described > (entry?.described ?? 0) ? descriptionRumour(member) : undefined
  const against = member.status !== 'alive' && (entry === undefined || outranks(member, entry))
  const status = against ? statusRumour(member) : undefined
  return [described, status].filter((rumour) => rumour !== undefined)
}

/** Everything that is known of these members. */
export function rumoursOf(members: MemberTable, numbers: readonly number[]): Rumour[] {
  return numbers.flatMap((number) => {
    const member = members.get(number)
    return member === undefined ? [] : betterThan(member, undefined)
  })
}

/** As many from the front as `bytesMax` has room for. */
export function fitting(rumours: readonly Rumour[], bytesMax: number): Rumour[] {
  let left = bytesMax
  const end = rumours.findIndex((rumour) => {
    left -= rumourBytes(rumour)
    return left < 0
  })
  return end === -1 ? [...rumours] : rumours.slice(0, end)
}

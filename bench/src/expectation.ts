import { textTable } from '@quorumkv/cli/bench'

/** Something that a run was to keep, and whether it did. */
export interface Expectation {
  readonly what: string
  /** What was found, and the bound that it was held against, in words. */
  readonly found: string
  readonly bound: string
  readonly met: boolean
}

/** The expectations for people, and how many of them were met. */
export function formatExpectations(expectations: readonly Expectation[]): string {
  const rows = expectations.map(({ what, found, bound, met }) => [what, found, bound, met ? 'met' : 'MISSED'])
  const met = expectations.filter((each) => each.met).length
  return `${textTable(rows, 4)}\n\n${met} of ${expectations.length} met`
}

/** A known bug that can be planted into the built code, to see whether the simulation finds it. */
export interface Mutant {
  readonly name: string
  /** What systems have lost data by it. */
  readonly hazard: string
  /** Below `internal/dist`. */
  readonly file: string
  /** Found there exactly once. */
  readonly find: string
  readonly replace: string
  /** It shows only where members come and go; default false. */
  readonly changes?: boolean
}

/** A bug that no random play shows, and the test that does: with the bug planted it fails. */
export interface MutantElsewhere extends Mutant {
  /** Why random plays do not find it. */
  readonly why: string
  readonly test: { readonly path: string; readonly title: string }
}

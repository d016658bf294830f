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
}

/** Which seed finds a planted bug. Written by `npm run sim -- --find-mutants`. */
export interface Found {
  readonly seed: number
  /** So many fresh seeds were played until one found it. */
  readonly needed: number
  /** The first thing that was found wrong. */
  readonly how: string
}

export const mutantSeeds: Readonly<Record<string, Found>> = {}

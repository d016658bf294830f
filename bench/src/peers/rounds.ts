/**
 * Measures `phases` of all `contestants` in alternating rounds: in each round each phase is measured of all of them, one
 * right after the other (A B C, A B C, …), so that what else the machine does hits all alike. Every other round goes
 * through them backwards, so that none is always behind the same one.
 *
 * Rejects with the first error of `measure`; nothing is measured after that.
 *
 * @returns by contestant, by phase, by round
 */
export async function alternate<Contestant, Phase, Result>(
  contestants: readonly Contestant[],
  phases: readonly Phase[],
  rounds: number,
  measure: (contestant: Contestant, phase: Phase, round: number) => Promise<Result>,
): Promise<Result[][][]> {
  const results: Result[][][] = contestants.map(() => phases.map(() => []))
  for (let round = 0; round < rounds; round++) {
    for (const [p, phase] of phases.entries()) {
      for (let turn = 0; turn < contestants.length; turn++) {
        const c = round % 2 === 0 ? turn : contestants.length - 1 - turn
        results[c]![p]!.push(await measure(contestants[c]!, phase, round))
      }
    }
  }
  return results
}

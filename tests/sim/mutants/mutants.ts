import { changeMutants } from './change-mutants.js'
import { clusterMutants } from './cluster-mutants.js'
import { diskMutants } from './disk-mutants.js'
import type { Mutant } from './mutant.js'

export { mutantsElsewhere } from './mutants-elsewhere.js'

/** One line of code each, and each of them a bug that a real system has had. */
export const mutants: readonly Mutant[] = [...diskMutants, ...clusterMutants, ...changeMutants]

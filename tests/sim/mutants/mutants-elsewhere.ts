import type { MutantElsewhere } from './mutant.js'

/** Bugs that something else in the cluster covers up, so that no client is ever told anything wrong. */
export const mutantsElsewhere: readonly MutantElsewhere[] = [
  {
    name: 'ceiling-not-raised',
    hazard: 'stamps are given above the ceiling that a restart relies on',
    file: 'cluster/stamping-clock.js',
    find: 'if (hlcMs(stamp) <= this.#ceilingMs)',
    replace: 'if (true)',
    why: 'whoever stored such a stamp brings the clock up again before the node may stamp anything',
    test: {
      path: 'internal/cluster/stamping-clock.test.ts',
      title: 'no stamp comes before the ceiling above it is durable, and none below it after a power cut',
    },
  },
  {
    name: 'floor-below-some-owner',
    hazard: 'tombstones are collected though an owner has not confirmed that it holds everything',
    file: 'replication/floor-rounds.js',
    find: 'const holds = owners.every(({ answer }) => answer.horizonMs >= agreedMs && isEqual(answer.agreed, mine.agreed));',
    replace: 'const holds = true;',
    why: 'what may come between two comparisons is a repair of what all its owners have lost since, and disks do not lose that much',
    test: {
      path: 'internal/replication/floor-rounds.test.ts',
      title: 'an owner that differed at the second comparison has everything begin anew',
    },
  },
  {
    name: 'dropped-hints-not-owed',
    hazard: 'hints beyond the bound are dropped in silence, and replicas stay different',
    file: 'hints/owner-hints.js',
    find: 'this.owed = true;\n        this.#ground',
    replace: 'this.#ground',
    why: 'anti-entropy compares with everybody all the time: being called upon makes it only sooner',
    test: {
      path: 'internal/replication/hinted-handoff.test.ts',
      title:
        'what is dropped is left to anti-entropy, once, when the member is there and the rest has been handed over',
    },
  },
  {
    name: 'hints-forgotten-at-restart',
    hazard: 'a node that is started again does not look for the hints that it has kept',
    file: 'hints/hint-store.js',
    find: 'for (const name of await store.#found()) {',
    replace: 'for (const name of []) {',
    why: 'nothing rests on a hint: anti-entropy brings the same, later',
    test: {
      path: 'internal/replication/hinted-handoff.test.ts',
      title: 'the holder stops and starts again: what was acknowledged on its last way is there',
    },
  },
]

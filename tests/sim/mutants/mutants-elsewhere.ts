import type { MutantElsewhere } from './mutant.js'

/**
 * Bugs that something else in the cluster covers up, so that no client is ever told anything wrong, or that take so much at once that
 * plays drawn at random do not come upon it.
 */
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
    file: 'replication/repair/floor-rounds.js',
    find: 'const holds = owners.every(({ answer }) => answer.horizonMs >= agreedMs && isEqual(answer.agreed, mine.agreed));',
    replace: 'const holds = true;',
    why: 'what may come between two comparisons is a repair of what all its owners have lost since, and disks do not lose that much',
    test: {
      path: 'internal/replication/repair/floor-rounds.test.ts',
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
  {
    name: 'scan-without-write-back',
    hazard: 'a scan returns what only one replica holds',
    file: 'replication/transfer/slot-read.js',
    find: 'if (this.#repairsNeeded.size > 0)\n            return;',
    replace: '',
    why: 'it takes a scan that passes while a write is at one owner only, and another read soon after: one seed in hundreds',
    test: {
      path: 'internal/replication/operations/scan.test.ts',
      title: 'a scan returns nothing before a read quorum holds it',
    },
  },
  {
    name: 'epoch-not-checked',
    hazard: 'a replica serves requests that go by other owners than it does',
    file: 'cluster/serving.js',
    find: 'if (message.epoch === this.#topology.epoch) {',
    replace: 'if (true) {',
    why: 'it takes a node that is late by a whole handover, and slots that have no owner on both sides; a scene of its own has both each time',
    test: {
      path: 'tests/sim/turnover.test.ts',
      title: 'who hears of a handover when it is nearly over gets nothing acknowledged by those who know of it',
    },
  },
  {
    name: 'not-rerouted',
    hazard: 'an operation under way when the topology changes goes on among the owners from before',
    file: 'replication/operations/coordinator.js',
    find: 'this.#context.active.reroute(routing);',
    replace: '',
    why: 'it takes a write that is on its way for as long as a whole handover takes, and slots that have no owner on both sides; a scene of its own has both each time',
    test: {
      path: 'tests/sim/turnover.test.ts',
      title: 'a write that is under way when a handover begins is not acknowledged by the owners from before',
    },
  },
  {
    name: 'streamed-from-one',
    hazard: 'a next owner takes a slot from a single owner, which may lack what two others have acknowledged',
    file: 'replication/transfer/handover.js',
    find: 'const needed = readQuorum - (others.length < owners.length ? 1 : 0);',
    replace: 'const needed = 1;',
    why: 'it takes an owner that those who get its slots reach and the others do not, and slots that have no owner on both sides; a scene of its own has both each time',
    test: {
      path: 'tests/sim/turnover.test.ts',
      title: 'an owner that has missed writes gives no slot by itself',
    },
  },
  {
    name: 'newcomer-counts-as-reader',
    hazard: 'the answer of a next owner counts toward the read quorum before it has got the slot',
    file: 'replication/transfer/slot-quorums.js',
    find: 'const answered = [quorumOf(reading.group, reading.readQuorum)];',
    replace: 'const answered = [quorumOf(reading.group | newcomers, reading.readQuorum)];',
    why: 'it takes an owner that has missed a write, and the others slower than one that only comes; a scene of its own has both each time',
    test: {
      path: 'tests/sim/turnover.test.ts',
      title: 'while slots stream, one that has missed a write and one that only comes are no read quorum',
    },
  },
  {
    name: 'newcomers-are-read',
    hazard: 'a next owner that has not got a slot yet says what its values are',
    file: 'replication/transfer/slot-quorums.js',
    find: 'reading: reading.group,',
    replace: 'reading: reading.group | newcomers,',
    why: 'what a next owner has left over lies below the records, or the floor, of those who are read; and what is newer there is a write under way, which may be read',
    test: {
      path: 'internal/replication/operations/joint-quorums.test.ts',
      title: 'what an owner to come has left over from earlier is not returned',
    },
  },
  {
    name: 'progress-kept-over-loss',
    hazard: 'a slot that was lost after it had been streamed counts as here',
    file: 'replication/transfer/handover.js',
    find: 'this.#done = new Set(kept?.slots.filter((slot) => !store.isLost(slot)));',
    replace: 'this.#done = new Set(kept?.slots);',
    why: 'a lost slot has no say until it is refilled, and a refill brings what the stream would: pages of a read quorum of those who are read',
    test: {
      path: 'internal/replication/transfer/handover.test.ts',
      title:
        'what is here stays here over a restart and other epochs, but not for another handover, nor if it got lost',
    },
  },
  {
    name: 'floor-raised-during-handover',
    hazard: 'tombstones are collected though a next owner has not got them',
    file: 'replication/repair/floor-rounds.js',
    find: 'if (!routed[slot].moves)',
    replace: 'if (true)',
    why: 'a next owner gets what it lacks with the slot; only a failed write that has come to next owners alone is left there, under a floor that they do not have',
    test: {
      path: 'internal/replication/repair/floor-rounds.test.ts',
      title: 'while a slot moves its floor stays where it is, and afterwards all begins anew',
    },
  },
  {
    name: 'newcomer-tells',
    hazard: 'a next owner that has not got a slot yet says that a write replaced nothing',
    file: 'replication/operations/write-attempt.js',
    find: 'if ((this.quorums.reading & bit) !== 0 && this.#tells(position, reply.seen))',
    replace: 'if (this.#tells(position, reply.seen))',
    why: 'it never counts alone: the same write has a quorum of those who are read, and they tell what they had, unless just their answers were lost between two epochs',
    test: {
      path: 'internal/replication/operations/joint-quorums.test.ts',
      title: 'who only came has told nothing of what a write replaced, though it is read when the record is sent again',
    },
  },
  {
    name: 'handover-forgets-floors',
    hazard: 'a next owner takes what it has left over for alive, though it was deleted and collected meanwhile',
    file: 'replication/transfer/slot-merge.js',
    find: 'return !part.more && (await this.#adopt(merging, merging.floorMs, goesOn));',
    replace: 'return !part.more;',
    why: 'a comparison brings the floor, and buries what is left over, within seconds; until then it takes next owners all of whom have come anew',
    test: {
      path: 'internal/replication/transfer/handover.test.ts',
      title: 'a slot that is taken back meanwhile gets no floor: it may be empty by then, and would deny what it lacks',
    },
  },
  {
    name: 'emptied-in-memory-only',
    hazard: 'what a node has dropped comes back when it is started again',
    file: 'store/recovery.js',
    find: 'applyFloor(table, floor);',
    replace: 'if (floor.empties !== true)\n                    applyFloor(table, floor);',
    why: 'nobody asks for what belongs to others, and it is emptied again; to be seen it must be deleted, collected, regained and kept from every snapshot before a restart',
    test: {
      path: 'internal/store/emptied-slots.test.ts',
      title: 'after a crash at any moment nothing old comes back, and nothing new is lost',
    },
  },
  {
    name: 'overtaken-owner-tells',
    hazard: 'a replica that got a write by another way first says that it replaced nothing, and is believed',
    file: 'replication/operations/write-attempt.js',
    find: 'if (own === undefined)\n            return true;',
    replace: 'return true;',
    why: 'hundreds of thousands of plays have shown it three times: a hint or a read has to bring the write to owners before it comes itself',
    test: {
      path: 'internal/replication/operations/write-operation.test.ts',
      title: 'is unknown at once where too many owners had the write before',
    },
  },
  {
    name: 'repetition-stamped-above',
    hazard: 'a write that is sent again over a new link supersedes what came after somebody who has read it',
    file: 'replication/operations/write-attempt.js',
    find: 'if ((this.#sentAgain & bit) !== 0) {',
    replace: 'if (false) {',
    why: 'the link has to break between a write and its answer, and within the moment until the next link somebody has to read it and to write over it',
    test: {
      path: 'internal/replication/operations/broken-links.test.ts',
      title:
        'is not stamped above what its owner got meanwhile: the owner may have had it before, and others may have read it',
    },
  },
  {
    name: 'done-too-soon',
    hazard: 'a handover ends while enough owners from before may still answer reads among themselves',
    file: 'cluster/changes/handover-judgement.js',
    find: 'if (owners.length - waiting.length < needed)',
    replace: 'if (false)',
    why: 'a read in `both` must settle on the next owners as well, which refuse it: only what was never written before is read without',
    test: {
      path: 'internal/cluster/changes/handover-judgement.test.ts',
      title: 'who goes is one of the former owners, and need not be among those who have switched',
    },
  },
  {
    name: 'written-on-one-side',
    hazard: 'a write during a handover is acknowledged by a quorum of the owners that are read only',
    file: 'replication/transfer/slot-quorums.js',
    find: 'const written = sides.map(',
    replace: 'const written = [reading].map(',
    why: 'it takes a way to the next owners that is slow just when they have all their slots; a scene of its own has it each time',
    test: {
      path: 'tests/sim/turnover.test.ts',
      title: 'what is written when all slots have come is with the next owners before it is acknowledged',
    },
  },
  {
    name: 'settled-on-one-side',
    hazard: 'a read during a handover returns what the other side does not hold',
    file: 'replication/transfer/slot-quorums.js',
    find: 'const settled = sides.map(',
    replace: 'const settled = [reading].map(',
    why: 'it takes a way to the next owners that is slow just when they have all their slots; a scene of its own has it each time',
    test: {
      path: 'tests/sim/turnover.test.ts',
      title: 'what is read when all slots have come is with the next owners before it is returned',
    },
  },
  {
    name: 'digest-of-emptied-slot',
    hazard: 'a slot that comes back while it is being emptied counts as streamed, and is empty then',
    file: 'store/durable-store.js',
    find: 'return this.#emptying.has(slot) ? digestOfNothing(into) : this.#table.digest(slot, into);',
    replace: 'return this.#table.digest(slot, into);',
    why:
      'a change would have to follow on another within one sync of the log, on more owners of the slot than reads can do without, and ' +
      'a comparison soon brings what is missing',
    test: {
      path: 'tests/sim/regained.test.ts',
      title: 'a slot that comes back while it is being emptied comes as a whole: what is here of it still will be gone',
    },
  },
]

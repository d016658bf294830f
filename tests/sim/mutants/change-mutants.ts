import type { Mutant } from './mutant.js'

const bugs: readonly Omit<Mutant, 'changes'>[] = [
  {
    name: 'switched-too-soon',
    hazard: 'next owners are read before every slot is there',
    file: 'cluster/changes/handover-judgement.js',
    find: 'return this.#names((member) => this.#incoming[member] > 0 && !this.#isComplete(member, reports));',
    replace: 'return [];',
  },
  {
    name: 'minority-decides',
    hazard: 'two sides of a partition decide on different topologies',
    file: 'consensus/round.js',
    find: 'return Math.floor(acceptors / 2) + 1;',
    replace: 'return Math.max(1, Math.floor(acceptors / 2));',
  },
  {
    name: 'number-given-twice',
    hazard: 'two members stamp with one number',
    file: 'cluster/changes/changes.js',
    find: 'return next(topology, { members: byId([...members, newcomer]), nextNumber: nextNumber + 1 });',
    replace:
      'return next(topology, { members: byId([...members, newcomer]), nextNumber: Math.max(...members.map(({ number }) => number)) + 1 });',
  },
  {
    name: 'leftovers-stay',
    hazard: 'what others own is kept for ever',
    file: 'cluster/changes/leftovers.js',
    find: 'await store.emptySlots(slots);',
    replace: '',
  },
  {
    name: 'floor-stays-over-emptied-slot',
    hazard: 'a slot that is regained refuses what was written before it was dropped',
    file: 'store/table/table-floors.js',
    find: 'if (empties === true)',
    replace:
      'const kept = empties === true ? table.floorMs(slot) : 0;\n    if (kept > 0) { table.emptySlot(slot); table.setFloor(slot, kept); }\n    else if (empties === true)',
  },
  {
    name: 'joiner-votes-at-once',
    hazard: 'a node that has only come counts toward the majority, and takes it along when it goes',
    file: 'slots/topology.js',
    find: "return members.filter(({ state }) => state !== 'joining' && state !== 'arrived');",
    replace: 'return members;',
  },
  {
    name: 'leaver-gone-too-soon',
    hazard: 'a member is no owner any more as soon as it is to leave',
    file: 'cluster/changes/changes.js',
    find: "return member.state === 'serving' && !stays.has(member.id) ? { ...member, state: 'leaving' } : member;",
    replace: "return member.state === 'serving' && !stays.has(member.id) ? { ...member, state: 'left' } : member;",
  },
  {
    name: 'pages-before-settled',
    hazard: 'a page is read while what was admitted under an older epoch is on its way to the disk',
    file: 'replication/transfer/copy-server.js',
    find: 'if (!request.settled) {',
    replace: 'if (true) {',
  },
]

/** Bugs that show only while the members of a cluster change. */
export const changeMutants: readonly Mutant[] = bugs.map((bug) => ({ ...bug, changes: true }))

/** Which seed finds a planted bug. Written by `npm run sim -- --find-mutants`. */
export interface Found {
  readonly seed: number
  /** So many fresh seeds were played until one found it; undefined: this one was chosen by what it draws. */
  readonly needed: number | undefined
  /** The first thing that was found wrong. */
  readonly how: string
}

export const mutantSeeds: Readonly<Record<string, Found>> = {
  'ack-before-fsync': {
    seed: 20000,
    needed: 1,
    how: 'at 11717.274 ms: n3 holds nothing of k0 after 26965722.2900099073.5',
  },
  'fsync-error-ignored': {
    seed: 20001,
    needed: 2,
    how: 'at 40996.231 ms: n2 says that its data is corrupt: log/0000000014.log is damaged at byte 0: expec...',
  },
  'no-directory-fsync': {
    seed: 20000,
    needed: 1,
    how: 'at 3634.533 ms: n1 has begun anew, though nobody has emptied or repaired its data directory',
  },
  'appends-behind-torn-tail': {
    seed: 348212620,
    needed: 5,
    how: 'at 302429.168 ms: n1 says that its data is corrupt: log/0000000001.log is damaged at byte 2966124...',
  },
  'damage-taken-for-torn-tail': {
    seed: 22574,
    needed: undefined,
    how: 'at 3823.906 ms: n3 holds 26965722.3016818688.4 of k0 after 26965722.3036217344.1',
  },
  'log-checksum-unchecked': {
    seed: 348006169,
    needed: 8,
    how: 'at 80998.818 ms: not all nodes could be started when all was well again',
  },
  'snapshot-checksum-unchecked': {
    seed: 348006260,
    needed: 99,
    how: 'at 308106.429 ms: k1: nobody wrote something spoilt (v249....................................)',
  },
  'half-record-left-on-full-disk': {
    seed: 315339200,
    needed: 7,
    how: 'at 8023.570 ms: n1 says that its data is corrupt: log/0000000001.log is damaged at byte 1078: exp...',
  },
  'full-disk-acknowledges': {
    seed: 23355,
    needed: undefined,
    how: 'at 6801.144 ms: n3 holds 26965722.3494182913.3 of k0 after 26965722.3500802051.2',
  },
  'snapshot-claims-too-much': {
    seed: 293050831,
    needed: 2,
    how: 'at 379510.683 ms: n1 holds 26965728.1648951296.1 of k0 after 26965728.2026569728.1',
  },
  'snapshot-drops-tombstones': {
    seed: 348212618,
    needed: 3,
    how: 'at 3028.547 ms: n4 holds nothing of k5 after 26965722.2892038144.5',
  },
  'delete-not-logged': {
    seed: 20000,
    needed: 1,
    how: 'at 6831.514 ms: n5 died of a bug: AssertionError: a step without a budget never ends',
  },
  'last-arrival-wins': {
    seed: 315339194,
    needed: 1,
    how: 'at 615629.600 ms: k1: what was acknowledged is not on n2, which have a say',
  },
  'digest-never-forgets': {
    seed: 20000,
    needed: 1,
    how: 'at 233496.726 ms: k0: owners differ: n1: 26965723.807993344.1 0 v30, digest 3619206396.1361071006...',
  },
  'floor-not-in-snapshot': {
    seed: 21814,
    needed: undefined,
    how: 'at 36026.662 ms: n2 holds nothing of k7 after 26965722.4232118271.4294967295',
  },
  'floor-refuses-nothing': {
    seed: 293050863,
    needed: 34,
    how: 'at 1067.290 ms: k2: a write replaced something, and was not told what although it had asked',
  },
  'expired-is-shown': {
    seed: 308919623,
    needed: 9,
    how: 'at 76737.484 ms: t1: v135 was still shown 10058 ms after it expired',
  },
  'clock-ceiling-ignored': {
    seed: 21180,
    needed: undefined,
    how: 'at 11867.043 ms: n3 stamped 26965722.3773038603.3 for k1 after 26965722.3773038604.3',
  },
  'clock-stands-still': {
    seed: 20001,
    needed: 2,
    how: 'at 1008.526 ms: t0 and k0 were acknowledged under one version, 26965722.2884501504.3',
  },
  'drift-not-checked': {
    seed: 22713,
    needed: undefined,
    how: 'at 21003.006 ms: the clock of n2 is 9902111 ms ahead',
  },
  'far-clock-stamps': {
    seed: 20367,
    needed: undefined,
    how: 'at 2004.767 ms: the clock of n4 is 45384783 ms ahead',
  },
  'far-clock-comes-back': {
    seed: 23027,
    needed: undefined,
    how: 'at 5278.073 ms: the clock of n3 is 34870791 ms ahead',
  },
  'ties-left-undecided': {
    seed: 20936,
    needed: undefined,
    how: 'at 1017.828 ms: k0: a write replaced nothing, though the key was there',
  },
  'write-quorum-too-small': {
    seed: 348212616,
    needed: 1,
    how: 'at 115.663 ms: k0: what was acknowledged is not on n2 n3, which have a say',
  },
  'all-but-one': {
    seed: 20979,
    needed: undefined,
    how: 'at 888.350 ms: a0: what was acknowledged is not on n1, which have a say',
  },
  'stale-counts-as-applied': {
    seed: 347601108,
    needed: 11,
    how: 'at 33582.366 ms: k2: a write got 26965723.724303872.3 after 26965723.895221761.1 had been acknowl...',
  },
  'lost-counts-as-applied': {
    seed: 347601098,
    needed: 1,
    how: 'at 116013.313 ms: k2: what was acknowledged is not on n1 n2, which have a say',
  },
  'hint-counts-as-copy': {
    seed: 20045,
    needed: undefined,
    how: 'at 2608.721 ms: k0: what was acknowledged is not on n2 n3 n4, which have a say',
  },
  'hint-stamped-anew': {
    seed: 23856,
    needed: undefined,
    how: 'at 27514.065 ms: the clock of n3 is 17315 ms ahead',
  },
  'unknown-told-as-failed': {
    seed: 347601100,
    needed: 3,
    how: 'at 5033.428 ms: k0: v75 is read, and was told to be not applied',
  },
  'own-trace-taken-for-previous': {
    seed: 7,
    needed: 7,
    how: 'at 1138.438 ms: k0: a write replaced nothing, though the key was there',
  },
  'stray-attempt-is-stamped': {
    seed: 315339201,
    needed: 8,
    how: 'at 289948.381 ms: k0 is not linearizable; no order for: read v19 [94, 95]',
  },
  'repetition-not-above-stray': {
    seed: 300102311,
    needed: 1,
    how: 'at 167867.791 ms: k1 is not linearizable; no order for: read v373 [1580, 1581]',
  },
  'no-write-back': {
    seed: 293050834,
    needed: 5,
    how: 'at 13456.922 ms: k2: 26965722.4256563213.2 was read after 26965722.4256563213.3 had been acknowle...',
  },
  'first-answer-wins': {
    seed: 293050830,
    needed: 1,
    how: 'at 12753.527 ms: k0: 26965722.3868852234.4 was read after 26965722.3973644290.3 had been acknowle...',
  },
  'absent-beats-present': {
    seed: 348212618,
    needed: 3,
    how: 'at 15280.530 ms: k1: nothing was read though nobody holds anything newer than the value 26965722....',
  },
  'lost-slots-vote': {
    seed: 308919617,
    needed: 3,
    how: 'at 9844.865 ms: k0: replaced v8, though a newer write had been acknowledged or read before',
  },
  'refilled-from-one': {
    seed: 293060007,
    needed: 8,
    how: 'at 14002.896 ms: k1: what was acknowledged is not on n2 n3, which have a say',
  },
  'refilled-unasked': {
    seed: 22655,
    needed: undefined,
    how: 'at 29857.513 ms: a2: what was acknowledged is not on n3, which have a say',
  },
  'no-anti-entropy': {
    seed: 21870,
    needed: undefined,
    how: 'at 128631.491 ms: a2: owners differ: n3: 26965722.2906718208.1 0 v5.................................',
  },
  'wiped-node-votes': {
    seed: 20085,
    needed: undefined,
    how: 'at 21180.455 ms: k0: what was acknowledged is not on n2, which have a say',
  },
  'switched-too-soon': {
    seed: 30000,
    needed: 1,
    how: 'at 13099.000 ms: k1: what was acknowledged is not on n4, which have a say',
  },
  'minority-decides': {
    seed: 300102322,
    needed: 12,
    how: 'at 132025.171 ms: n2 has another epoch 9 than others: {"clusterId":"444513cfa96035be0c37a6bc7b4ad...',
  },
  'number-given-twice': {
    seed: 32000,
    needed: 1,
    how: 'at 4334.957 ms: n1 died of a bug: KvError: members.number: must be a whole number, 1 to 5, got 6',
  },
  'leftovers-stay': {
    seed: 30000,
    needed: 1,
    how: 'at 217753.457 ms: 9 tombstones stay although nothing is wrong any more: n3: ; n4: ; n5: ; n1: ',
  },
  'floor-stays-over-emptied-slot': {
    seed: 348212616,
    needed: 1,
    how: 'at 475750.893 ms: n3 holds slot 182, which others own, although nothing is wrong any more',
  },
  'joiner-votes-at-once': {
    seed: 315339200,
    needed: 7,
    how: 'at 157714.821 ms: n4 ends though it is a member: n4 (incarnation 12deb369e16a15be7b8ca1fe9067f0aa...',
  },
  'leaver-gone-too-soon': {
    seed: 308919615,
    needed: 1,
    how: 'at 401034.337 ms: owners change in epoch 11, at which no handover ends',
  },
}

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
    how: 'at 3909.528 ms: n2 holds 26965722.2915762176.5 of k0 after 26965722.2999713793.3',
  },
  'fsync-error-ignored': {
    seed: 20000,
    needed: 1,
    how: 'at 18333.547 ms: n1 says that its data is corrupt: log/0000000002.log is damaged at byte 0: expec...',
  },
  'no-directory-fsync': {
    seed: 20000,
    needed: 1,
    how: "the play broke: TypeError: Cannot read properties of undefined (reading 'owners')",
  },
  'damage-taken-for-torn-tail': {
    seed: 20007,
    needed: 8,
    how: 'at 82791.800 ms: n3 holds 26965723.908525568.2 of k0 after 26965723.3920297985.3',
  },
  'full-disk-acknowledges': {
    seed: 56921,
    needed: undefined,
    how: 'at 9743.122 ms: n3 holds nothing of k1 after 26965722.3285975040.1',
  },
  'snapshot-drops-tombstones': {
    seed: 9602,
    needed: undefined,
    how: 'at 42502.485 ms: n2 holds nothing of k2 after 26965722.3849715716.3',
  },
  'delete-not-logged': {
    seed: 13924,
    needed: undefined,
    how: 'at 750.895 ms: n1 died of a bug: AssertionError: a step without a budget never ends',
  },
  'last-arrival-wins': {
    seed: 30191,
    needed: undefined,
    how: 'at 16077.949 ms: n1 holds 26965722.3188064256.3 of k0 after 26965722.3208970240.3',
  },
  'digest-never-forgets': {
    seed: 8936,
    needed: undefined,
    how: 'at 145458.908 ms: k0: owners differ: n1: 26965723.1632960512.3 0 v611.........., digest 3016065806.1',
  },
  'expired-is-shown': {
    seed: 15346,
    needed: undefined,
    how: 'at 26455.135 ms: t1: v27 was still shown 108 ms after it expired',
  },
  'clock-ceiling-ignored': {
    seed: 40421,
    needed: undefined,
    how: 'at 14216.737 ms: n3 stamped 26965722.3823697938.3 for k1 after 26965722.4085514244.3',
  },
  'clock-stands-still': {
    seed: 8936,
    needed: undefined,
    how: 'at 1006.024 ms: k1 and k0 were acknowledged under one version, 26965722.2884435968.3',
  },
  'drift-not-checked': {
    seed: 45112,
    needed: undefined,
    how: 'at 691.482 ms: the clock of n1 is 61659794 ms ahead',
  },
  'far-clock-stamps': {
    seed: 12565,
    needed: undefined,
    how: 'at 14788.323 ms: the clock of n2 is 63502624 ms ahead',
  },
  'far-clock-comes-back': {
    seed: 42583,
    needed: undefined,
    how: 'at 3326.964 ms: the clock of n2 is 58958899 ms ahead',
  },
  'write-quorum-too-small': {
    seed: 20003,
    needed: 4,
    how: 'at 43757.753 ms: k0 is not linearizable; no order for: read v13 [176, 177]',
  },
  'all-but-one': {
    seed: 8308,
    needed: undefined,
    how: 'at 9806.546 ms: a0: nothing was read, though every owner had acknowledged 26965722.3028287488.3',
  },
  'stale-counts-as-applied': {
    seed: 2929,
    needed: undefined,
    how: 'at 19935.267 ms: k1: a write got 26965722.4078895108.3 after 26965722.4088987648.2 had been acknowle',
  },
  'lost-counts-as-applied': {
    seed: 6007,
    needed: undefined,
    how: 'at 49937.920 ms: k0 is not linearizable; no order for: read v12 [56, 57]',
  },
  'unknown-told-as-failed': {
    seed: 40421,
    needed: undefined,
    how: 'at 5954.643 ms: k2: v111 was read, and told to be not applied',
  },
  'own-trace-taken-for-previous': {
    seed: 43554,
    needed: 31,
    how: 'at 50775.111 ms: k0: a write replaced nothing, though the key was there',
  },
  'overtaken-owner-tells': {
    seed: 731009,
    needed: undefined,
    how: 'at 37890.084 ms: k0: a write replaced nothing, though the key was there',
  },
  'stray-attempt-is-stamped': {
    seed: 15346,
    needed: undefined,
    how: 'at 48301.967 ms: t0: v129 was still shown 370 ms after it expired',
  },
  'repetition-not-above-stray': {
    seed: 3790,
    needed: undefined,
    how: 'at 31201.323 ms: k0: a write replaced nothing, though the key was there',
  },
  'no-write-back': {
    seed: 59537,
    needed: undefined,
    how: 'at 50615.941 ms: k0 is not linearizable; no order for: read v126 [387, 388]',
  },
  'first-answer-wins': {
    seed: 30191,
    needed: undefined,
    how: 'at 112189.717 ms: k1 is not linearizable; no order for: read v233 [818, 819]',
  },
  'absent-beats-present': {
    seed: 58200,
    needed: undefined,
    how: 'at 68953.839 ms: k0 is not linearizable; no order for: read undefined [9, 12]',
  },
  'lost-slots-vote': {
    seed: 5962,
    needed: undefined,
    how: 'at 90247.233 ms: k1 is not linearizable; no order for: read v16 [218, 219]',
  },
  'no-anti-entropy': {
    seed: 10424,
    needed: undefined,
    how: 'at 157645.021 ms: o0: owners differ: n3: 26965723.1290469378.3 0 v147, digest 1323561307.3086272952;',
  },
}

/**
 * Seeds that have found something wrong, and what it was. Once the play has changed a seed draws another one, so each of these
 * faults also has a test of its own; but where chance has once met a fault, it pays to let it pass again.
 */
export const failedSeeds: readonly (readonly [seed: number, found: string])[] = [
  [
    2,
    'what clients had read from a clock that was far ahead came back to it as a bound of a repeated write, and stayed',
  ],
  [49, 'the same with a client that lies about the time'],
  [
    61,
    'damage to the log of an older generation stayed for ever, because a start does not need it (the play repairs it)',
  ],
  [138, 'a node that was being stopped when all was mended was never started again (by the play)'],
  [6002, 'a disk that was wiped came back half (the play had not synced its directories)'],
  [6010, 'the identity of a wiped node rotted before anything else said whose directory it is'],
  [6012, 'a full disk ended a node that was being taken back as if it were a bug'],
  [6013, 'a failed write of `votes` ended a node as if it were a bug'],
  [100110, 'slots were lost and refilled between two looks, and what had been there was missed (by the play)'],
  [100499, 'the same, and a newer write that only the damaged copy had'],
  [
    102029,
    'damage to the last frames of a log, before a segment that had not begun, read as a torn write (by the play)',
  ],
  [102302, 'a write that had come to two owners by another way first was told that it had replaced an older value'],
  [334, 'the same by way of a hint, and it was told that it had replaced nothing'],
  [731009, 'the same by way of a read'],
  [300017, 'a node kept links for a refill that could not go on: what was lost belonged to others'],
  [101716, 'a repair that lost nothing took the floors of all slots away, because no snapshot had them'],
  [101749, 'a node was started from what a repair had left that was cut short, as kv-server is not (by the play)'],
  [101764, 'the same'],
  [102434, 'the same'],
  [200009, 'a segment that had not begun was kept as a spare under a name that a later spare got too'],
  [800508, 'a link for gossip whose caller had died before it greeted stayed for two minutes'],
  [
    315912510,
    'a newcomer whose identity the process before had named and not made durable told others of it, and lost it to a power cut',
  ],
  [293050871, 'a horizon that was told right after a restart held up tombstones for as long as the node had been down'],
]

/** The same of plays in which the members change (`--changes`). */
export const failedSeedsOfChanges: typeof failedSeeds = [
  [
    950165,
    'a replacement that a new weight of the same member had called off was asked for, for ever, when who was to come had joined (by the play)',
  ],
  [950277, 'a node whose log was spoilt left, and came back with it: the play had forgotten the damage'],
  [950336, 'the same'],
  [950324, 'who asked for a change was told of a failed disk as of a bug, not that this member cannot do it'],
]

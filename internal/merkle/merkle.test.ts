import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compareBytes, type Slot } from '../base/index.js'
import { type Hash64, hash64, murmur3_32 } from '../hash/index.js'
import type { Version } from '../hlc/index.js'
import { slotCount, slotOf } from '../slots/index.js'
import { BucketDigests, bucketCount, bucketOf } from './buckets.js'
import { differences, digestBytes, packDigests } from './digests.js'
import { compareEntries, type Entry } from './entries.js'
import { groupCount, groupOf, SharedTree, slotsPerGroup } from './shared-tree.js'
import { Suspects } from './suspects.js'

const allSlots = Array.from({ length: slotCount }, (_, slot) => slot as Slot)

function treeOver(slots: readonly Slot[], digests: ReadonlyMap<number, Hash64>): SharedTree {
  return new SharedTree(slots, (slot) => digests.get(slot) ?? { hi: 0, lo: 0 })
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

function positions(mine: Uint8Array, theirs: Uint8Array): number[] {
  return [...differences(mine, theirs)!.keys()]
}

function version(ms: number): Version {
  return { hi: 0, lo: ms, node: 1 }
}

function entry(key: string, ms: number): Entry {
  return { key: Buffer.from(key), version: version(ms), bytes: 1 }
}

function names(entries: readonly Entry[]): string[] {
  return entries.map(({ key, version }) => `${Buffer.from(key)}@${version.lo}`)
}

describe('digests', () => {
  test('the bytes of every level do not change from one release to the next', () => {
    const tree = treeOver([5 as Slot, 6 as Slot, 70 as Slot], new Map([[6, { hi: 0x01020304, lo: 0xf0e0d0c0 }]]))
    expect(hex(tree.leaves([0]))).toBe('000000000000000001020304f0e0d0c0')
    expect(hex(tree.groups().subarray(0, 3 * digestBytes))).toMatchInlineSnapshot(
      `"1a9e2cc9cd66f5dd837c6c1d0686feb65d58b4db382f8713"`,
    )
    expect(hex(tree.root())).toMatchInlineSnapshot(`"4f1f7b8165f74332"`)
    const buckets = new BucketDigests()
    buckets.add(Buffer.from('key'), version(7))
    const at = bucketOf(Buffer.from('key'))
    expect(at).toMatchInlineSnapshot(`49`)
    expect(hex(buckets.packed().subarray(at * digestBytes, (at + 1) * digestBytes))).toMatchInlineSnapshot(
      `"3addff61bd743dbc"`,
    )
  })

  test('lists that are not of the same length are not compared', () => {
    expect(differences(new Uint8Array(16), new Uint8Array(8))).toBeUndefined()
    expect(differences(new Uint8Array(12), new Uint8Array(12))).toBeUndefined()
    expect(differences(new Uint8Array(0), new Uint8Array(0))).toEqual(new Map())
  })

  test('each byte of a digest counts', () => {
    for (let byte = 0; byte < 3 * digestBytes; byte++) {
      const theirs = new Uint8Array(3 * digestBytes)
      theirs[byte] = 1
      const difference = hex(theirs)
        .replace(/^(0{16})*/, '')
        .slice(0, 16)
      expect(differences(new Uint8Array(3 * digestBytes), theirs)).toEqual(
        new Map([[Math.floor(byte / digestBytes), difference]]),
      )
    }
  })
})

describe('the tree over shared slots', () => {
  const digests = fc.dictionary(fc.integer({ min: 0, max: slotCount - 1 }).map(String), fc.integer({ min: 1, max: 9 }))

  test('from root to leaves it finds the slots that differ, and no other (property)', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 0, max: slotCount - 1 })), digests, digests, (some, a, b) => {
        const slots = (some.length > 5 ? some.sort((x, y) => x - y) : allSlots) as Slot[]
        const digest = (of: Record<string, number>, slot: Slot): Hash64 => ({ hi: 0, lo: of[slot] ?? 0 })
        const mine = new SharedTree(slots, (slot) => digest(a, slot))
        const theirs = new SharedTree(slots, (slot) => digest(b, slot))
        const expected = slots.filter((slot) => digest(a, slot).lo !== digest(b, slot).lo)
        expect(positions(mine.root(), theirs.root())).toHaveLength(expected.length === 0 ? 0 : 1)
        const groups = positions(mine.groups(), theirs.groups())
        expect(groups).toEqual([...new Set(expected.map(groupOf))])
        const leaves = positions(mine.leaves(groups), theirs.leaves(groups))
        expect(leaves.map((position) => mine.slotsIn(groups)[position])).toEqual(expected)
      }),
    )
  })

  test('the same digests in other slots are another tree', () => {
    const one = treeOver(allSlots, new Map([[3, { hi: 1, lo: 2 }]]))
    const two = treeOver(allSlots, new Map([[4, { hi: 1, lo: 2 }]]))
    const far = treeOver(allSlots, new Map([[3 + slotsPerGroup, { hi: 1, lo: 2 }]]))
    expect(new Set([one, two, far].map((tree) => hex(tree.root()))).size).toBe(3)
    expect(groupCount * slotsPerGroup).toBe(slotCount)
  })
})

describe('buckets', () => {
  test('a bucket is chosen by bits of the hash that the slot leaves over', () => {
    const seen = new Set<number>()
    for (let i = 0; i < 200_000 && seen.size < bucketCount; i++) {
      const key = Buffer.from(`key ${i}`)
      if (slotOf(key) !== 17) continue
      expect(bucketOf(key)).toBe((murmur3_32(key) >>> 14) & 63)
      seen.add(bucketOf(key))
    }
    expect(seen.size, 'keys of one slot fall into many buckets').toBeGreaterThan(20)
  })

  test('together they are the digest of the slot, in whatever order records come (property)', () => {
    const records = fc.uniqueArray(fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 9 }), fc.nat()), {
      selector: ([key]) => hex(key),
    })
    fc.assert(
      fc.property(records, (given) => {
        const [forth, back] = [new BucketDigests(), new BucketDigests()]
        const sum = { hi: 0, lo: 0 }
        for (const [key, ms] of given) {
          forth.add(key, version(ms))
          const hash = { hi: 0, lo: 0 }
          hash64(key, 0, ms, 1, hash)
          sum.hi ^= hash.hi
          sum.lo ^= hash.lo
        }
        for (const [key, ms] of given.toReversed()) back.add(key, version(ms))
        expect(back.packed()).toEqual(forth.packed())
        const view = new DataView(forth.packed().buffer)
        const total = { hi: 0, lo: 0 }
        for (let i = 0; i < bucketCount; i++) {
          total.hi ^= view.getUint32(i * digestBytes)
          total.lo ^= view.getUint32(i * digestBytes + 4)
        }
        expect(packDigests(1, () => total)).toEqual(packDigests(1, () => sum))
      }),
    )
  })
})

describe('entries', () => {
  test('absent never beats present, on either side', () => {
    const { lacking, ahead } = compareEntries([entry('a', 1), entry('b', 2)], [entry('b', 2), entry('c', 3)])
    expect(names(lacking)).toEqual(['c@3'])
    expect(names(ahead)).toEqual(['a@1'])
  })

  test('what travels makes both sides the newest of each key, and nothing travels that need not (property)', () => {
    const side = fc.dictionary(fc.string({ minLength: 1, maxLength: 2 }), fc.integer({ min: 1, max: 3 }))
    fc.assert(
      fc.property(side, side, (a, b) => {
        const list = (of: Record<string, number>): Entry[] =>
          Object.entries(of)
            .map(([key, ms]) => entry(key, ms))
            .sort((x, y) => compareBytes(x.key, y.key))
        const { lacking, ahead } = compareEntries(list(a), list(b))
        const keys = new Set([...Object.keys(a), ...Object.keys(b)])
        const newest = (key: string): number => Math.max(a[key] ?? 0, b[key] ?? 0)
        const sorted = (found: string[]): string[] => found.sort()
        const missing = (of: Record<string, number>): string[] =>
          sorted([...keys].filter((key) => (of[key] ?? 0) < newest(key)).map((key) => `${key}@${newest(key)}`))
        expect(sorted(names(lacking))).toEqual(missing(a))
        expect(sorted(names(ahead))).toEqual(missing(b))
      }),
    )
  })
})

describe('suspects', () => {
  const found = (differences: Record<number, string>): Map<Slot, string> =>
    new Map(Object.entries(differences).map(([slot, difference]) => [Number(slot) as Slot, difference]))

  test('what is missing shows the same difference again, as soon as no write is under way at two looks', () => {
    const suspects = new Suspects()
    suspects.look(found({ 1: 'missing', 2: 'missing and x', 3: 'missing' }))
    expect(suspects.doubtful).toEqual([1, 2, 3])
    suspects.look(found({ 1: 'missing', 2: 'missing', 3: 'missing and y' }))
    expect([suspects.confirmed, suspects.doubtful]).toEqual([[1], [2, 3]])
    suspects.look(found({ 2: 'missing', 3: 'missing' }))
    expect([suspects.confirmed, suspects.doubtful]).toEqual([[1, 2, 3], []])
  })

  test('who was equal once lacks nothing, and who differs otherwise each time stays in doubt', () => {
    const suspects = new Suspects()
    suspects.look(found({ 1: 'x', 2: 'x' }))
    suspects.look(found({ 2: 'y', 9: 'new' }))
    suspects.look(found({ 1: 'x', 2: 'z', 9: 'new' }))
    expect([suspects.confirmed, suspects.doubtful]).toEqual([[], [2]])
  })

  test('with digests as they are: what only one member has is told from writes that are under way (property)', () => {
    const hashOf = (key: string): Hash64 => {
      const hash = { hi: 0, lo: 0 }
      hash64(Buffer.from(key), 1, 2, 3, hash)
      return hash
    }
    const packed = (keys: readonly string[]): Uint8Array => {
      const sum = keys.map(hashOf).reduce((a, b) => ({ hi: a.hi ^ b.hi, lo: a.lo ^ b.lo }), { hi: 0, lo: 0 })
      return packDigests(1, () => sum)
    }
    const keys = fc.array(fc.string(), { maxLength: 3 })
    fc.assert(
      fc.property(keys, keys, fc.array(fc.nat(3), { minLength: 2, maxLength: 6 }), (missing, common, underWay) => {
        const lacks = new Set(missing.filter((key, i) => missing.indexOf(key) === i && !common.includes(key)))
        const suspects = new Suspects()
        for (const [look, writes] of underWay.entries()) {
          const late = Array.from({ length: writes }, (_, i) => `write ${look}.${i}`)
          const [full, poor] = [packed([...common, ...lacks, ...late]), packed(common)]
          const difference = differences(full, poor)!.get(0)
          suspects.look(difference === undefined ? new Map() : new Map([[7 as Slot, difference]]))
        }
        const quiet = underWay.filter((writes) => writes === 0).length
        if (lacks.size > 0) expect([...suspects.confirmed, ...suspects.doubtful]).toEqual([7])
        else expect(suspects.confirmed).toEqual([])
        if (lacks.size > 0 && quiet > 1) expect(suspects.confirmed).toEqual([7])
        if (lacks.size === 0 && quiet > 0) expect(suspects.doubtful).toEqual([])
      }),
    )
  })
})

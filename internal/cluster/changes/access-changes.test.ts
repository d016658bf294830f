import { describe, expect, test } from 'vitest'
import { type KvError, limits } from '../../base/index.js'
import {
  accessLevel,
  canonicalPrefixes,
  type Grant,
  nobodyGranted,
  type Topology,
  validateTopology,
} from '../../slots/index.js'
import { topologyOf } from '../../slots/topology.test-support.js'
import type { Founder } from '../links/handshake.js'
import { decodeTopology, encodeTopology } from '../topology/topology-codec.js'
import { type AccessChange, accessChanged } from './access-changes.js'
import { begun, done, joined, requested, switched } from './changes.js'

const text = new TextEncoder()
const three: Topology = { ...topologyOf([{ id: 'n1' }, { id: 'n2' }, { id: 'n3' }]), featureLevel: accessLevel }

function grant(name: string, change: Partial<Grant> = {}): Grant {
  const tokenHash = new Uint8Array(32).fill(name.charCodeAt(0))
  return { name, role: 'read', prefixes: [], tokenHash, createdAtMs: 1_000, expiresAtMs: undefined, ...change }
}

function granting(...names: string[]): AccessChange[] {
  return names.map((name) => ({ kind: 'grant', grant: grant(name) }))
}

function after(topology: Topology, ...changes: AccessChange[]): Topology {
  return changes.reduce((now, change) => validateTopology(accessChanged(now, change)!), topology)
}

function failure(act: () => unknown): Partial<KvError> {
  try {
    act()
  } catch (error) {
    return error as KvError
  }
  throw new Error('it was expected to fail')
}

test('who is let in is listed by name, each change is a revision and an epoch, and doing again changes nothing', () => {
  const two = after(three, ...granting('b', 'a'))
  expect(two.access.grants.map(({ name }) => name)).toEqual(['a', 'b'])
  expect([two.epoch, two.access.revision]).toEqual([three.epoch + 2, 2])
  expect(accessChanged(two, { kind: 'grant', grant: grant('a', { createdAtMs: 2_000 }) })).toBeUndefined()
  const one = after(two, { kind: 'revoke', name: 'a' })
  expect(one.access).toEqual({ revision: 3, grants: [grant('b')] })
  expect(decodeTopology(encodeTopology(two))).toEqual(two)
})

test('a name that is taken is not given to another token, role or prefix, and nobody unknown is revoked', () => {
  const one = after(three, ...granting('a'))
  const prefixes = [text.encode('x')]
  for (const other of [
    { tokenHash: new Uint8Array(32) },
    { role: 'write' as const },
    { prefixes },
    { expiresAtMs: 9 },
  ]) {
    const error = failure(() => accessChanged(one, { kind: 'grant', grant: grant('a', other) }))
    expect(error).toMatchObject({ code: 'invalid-argument', field: 'name' })
  }
  expect(failure(() => accessChanged(one, { kind: 'revoke', name: 'b' }))).toMatchObject({ field: 'name' })
})

test.each<[string, Partial<Grant>, string]>([
  ['a name with a path in it', { name: '../x' }, 'name'],
  ['no name', { name: '' }, 'name'],
  ['a hash of another length', { tokenHash: new Uint8Array(31) }, 'token_sha256'],
  ['an expiry before all time', { expiresAtMs: 0 }, 'expires_at_ms'],
  ['an expiry that is no time', { expiresAtMs: Number.NaN }, 'expires_at_ms'],
  ['a prefix that begins with another', { prefixes: [text.encode('a'), text.encode('ab')] }, 'prefixes'],
  ['a prefix longer than a key', { prefixes: [new Uint8Array(limits.keyBytesMax + 1)] }, 'prefixes'],
])('%s is refused by name', (_, change, field) => {
  const error = failure(() => accessChanged(three, { kind: 'grant', grant: grant('a', change) }))
  expect(error).toMatchObject({ code: 'invalid-argument', field })
})

test('below the feature level that knows of it nobody is let in, and it is said what to do', () => {
  const error = failure(() => accessChanged({ ...three, featureLevel: 1 }, granting('a')[0]!))
  expect(error.message).toContain('raise it to 2 first')
})

test('the list is bounded, by principals and by bytes, and whoever asks is told so', () => {
  const grants = Array.from({ length: limits.principalsMax }, (_, i) => grant(`p${String(i).padStart(4, '0')}`))
  const full = validateTopology({ ...three, access: { revision: 1, grants } })
  expect(failure(() => accessChanged(full, granting('q')[0]!))).toMatchObject({ code: 'overloaded' })
  expect(accessChanged(full, { kind: 'revoke', name: 'p0000' })?.access.grants).toHaveLength(limits.principalsMax - 1)
  const long = (first: number): Uint8Array => new Uint8Array(1_024).fill(first)
  const prefixes = Array.from({ length: limits.principalPrefixesMax }, (_, i) => long(i + 1))
  let topology = three
  const fill = (name: string): AccessChange => ({ kind: 'grant', grant: grant(name, { prefixes }) })
  for (const name of ['a', 'b', 'c']) topology = after(topology, fill(name))
  expect(failure(() => accessChanged(topology, fill('d')))).toMatchObject({ code: 'overloaded' })
  expect(encodeTopology(topology).length).toBeLessThan(limits.documentBytesMax / 2)
})

test('prefixes are kept once each, without those that another covers; an empty one allows nobody everything by mistake', () => {
  const of = (...prefixes: string[]): string[] => {
    return canonicalPrefixes(prefixes.map((prefix) => text.encode(prefix))).map((bytes) =>
      new TextDecoder().decode(bytes),
    )
  }
  expect(of('b', 'ab', 'a', 'b', 'abc', 'c')).toEqual(['a', 'b', 'c'])
  for (const prefixes of [[''], ['a', '']]) {
    expect(failure(() => of(...prefixes))).toMatchObject({ code: 'invalid-argument', field: 'prefixes' })
  }
  expect(of()).toEqual([])
})

describe('a handover', () => {
  const newcomer: Founder = {
    id: 'n4' as Founder['id'],
    incarnation: 'f'.repeat(32) as Founder['incarnation'],
    address: 'n4:1' as Founder['address'],
    zone: '',
    weight: 1,
    levels: { min: 1, max: 2 },
    authenticates: false,
  }
  const everybody = (): boolean => true

  test('and a change of who may call do not disturb each other, whichever step it is in', () => {
    const [add, revoke] = [granting('a')[0]!, { kind: 'revoke', name: 'a' } as const]
    const without = (topology: Topology): object => ({
      ...topology,
      epoch: undefined,
      access: nobodyGranted,
    })
    const planned = requested(joined(three, newcomer)!, { kind: 'decommission', id: three.members[0]!.id })!
    const both = begun(planned, everybody)!
    const changed = after(both, add)
    expect(changed.handover).toEqual(both.handover)
    expect(without(changed)).toEqual(without(both))
    const { since } = changed.handover!
    const switching = after(switched(changed, since)!, revoke)
    expect(switching.handover).toEqual({ ...both.handover, step: 'switch' })
    const over = done(after(switching, add), since)!
    expect(over.handover).toBeUndefined()
    expect(over.access).toEqual({ revision: 3, grants: [grant('a')] })
  })
})

test('the bytes of a topology with a list are these', () => {
  const prefixes = [text.encode('app/'), text.encode('tmp/')]
  const access = {
    revision: 7,
    grants: [grant('app', { role: 'write', prefixes, expiresAtMs: 2_000 }), grant('ops', { role: 'admin' })],
  }
  const bytes = encodeTopology({ ...three, access })
  const list = Buffer.from(bytes.subarray(encodeTopology(three).length)).toString('hex')
  const [a, o] = ['61'.repeat(32), '6f'.repeat(32)]
  expect(list).toBe(
    `7a6d0807123b0a0361707010021a046170702f1a04746d702f2220${a}28e80730d00f122c0a036f707310032220${o}28e807`,
  )
})

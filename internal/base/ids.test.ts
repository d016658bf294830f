import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  KvError,
  type ParseAddressOptions,
  parseAddress,
  parseClusterId,
  parseEpoch,
  parseIncarnation,
  parseNodeId,
} from './index.js'

/** Expects an `invalid-argument` about `field`. */
function refused(act: () => unknown, field: string): void {
  let error: unknown
  try {
    act()
  } catch (thrown) {
    error = thrown
  }
  expect(error).toBeInstanceOf(KvError)
  expect(error).toMatchObject({ code: 'invalid-argument', field, outcome: 'not-applied' })
  expect((error as KvError).message).toContain(`${field}: `)
}

test('node ids are 1 to 63 small letters, digits and hyphens, and nothing that a path or a page could take amiss', () => {
  for (const id of ['a', '0', '-', 'node-1', 'z'.repeat(63)]) expect(parseNodeId(id)).toBe(id)
  const bad = ['', 'z'.repeat(64), 'A', 'a_b', 'a.b', '../x', 'a/b', 'a\0', 'a\n', '\na', ' a', 'é', '<b>', 'a b']
  for (const id of bad) refused(() => parseNodeId(id), 'id')
  refused(() => parseNodeId('', 'members.id'), 'members.id')
})

test('cluster ids and incarnations are 32 small hex digits', () => {
  const good = '0123456789abcdef0123456789abcdef'
  expect(parseClusterId(good)).toBe(good)
  expect(parseIncarnation(good)).toBe(good)
  for (const bad of ['', good.slice(1), `${good}0`, good.toUpperCase(), `g${good.slice(1)}`, `${good}\n`]) {
    refused(() => parseClusterId(bad), 'clusterId')
    refused(() => parseIncarnation(bad), 'incarnation')
  }
})

test('epochs are whole numbers that a double holds exactly', () => {
  for (const epoch of [0, 1, Number.MAX_SAFE_INTEGER]) {
    expect(parseEpoch(epoch)).toBe(epoch)
    expect(parseEpoch(BigInt(epoch))).toBe(epoch)
  }
  for (const bad of [
    -1,
    0.5,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    2 ** 53,
    -1n,
    2n ** 53n,
    2n ** 53n + 1n,
    2n ** 64n,
  ]) {
    refused(() => parseEpoch(bad), 'epoch')
  }
})

test('addresses are host:port or [ipv6]:port, kept as they were given', () => {
  const good = ['localhost:1', '127.0.0.1:50051', 'node-1.kv.svc:65535', '[::1]:50051', '[fe80::1%eth0]:7', 'kv_1:80']
  for (const address of good) expect(parseAddress(address, 'addr')).toBe(address)
  expect(parseAddress('host:00080', 'addr')).toBe('host:80')
})

test('malformed addresses are refused by name, not guessed at', () => {
  const bad = [
    '',
    'host',
    'host:',
    ':',
    ':50051',
    '50051',
    'host:0',
    'host:65536',
    'host:99999',
    'host:123456',
    'host:-1',
    'host:+1',
    'host:1.5',
    'host:80x',
    'host: 80',
    ' host:80',
    'host:80 ',
    'host:80\n',
    'ho st:80',
    '::1:80',
    '::1',
    '[::1]',
    '[::1]80',
    '[]:80',
    '[::1:80',
    '::1]:80',
    'http://host:80',
    'user@host:80',
    'a/b:80',
  ]
  for (const address of bad) refused(() => parseAddress(address, 'peers'), 'peers')
})

test('port 0 and a missing host are taken only where the caller has a meaning for them', () => {
  expect(parseAddress('localhost:0', 'addr', { allowPortZero: true })).toBe('localhost:0')
  expect(parseAddress('[::1]:0', 'addr', { allowPortZero: true })).toBe('[::1]:0')
  expect(parseAddress(':50051', 'addr', { defaultHost: '127.0.0.1' })).toBe('127.0.0.1:50051')
  expect(parseAddress('h:50051', 'addr', { defaultHost: '127.0.0.1' })).toBe('h:50051')
  refused(() => parseAddress('h:65536', 'addr', { allowPortZero: true }), 'addr')
  refused(() => parseAddress(':0', 'addr', { defaultHost: '127.0.0.1' }), 'addr')
})

test('whatever the text, parsing returns an address that parses to itself, or refuses', () => {
  const text = fc.oneof(
    fc.string(),
    fc.tuple(fc.domain(), fc.nat(70_000)).map(([host, port]) => `${host}:${port}`),
    fc.tuple(fc.ipV6(), fc.nat(70_000)).map(([host, port]) => `[${host}]:${port}`),
  )
  const options: ParseAddressOptions = { allowPortZero: true }
  fc.assert(
    fc.property(text, (given) => {
      try {
        const address = parseAddress(given, 'addr', options)
        expect(parseAddress(address, 'addr', options)).toBe(address)
      } catch (error) {
        expect(error).toMatchObject({ name: 'KvError', code: 'invalid-argument', field: 'addr' })
      }
    }),
    { numRuns: 500 },
  )
})

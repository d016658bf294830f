import { expect, test } from 'vitest'
import { nameInToken, newToken, tokenHash } from './tokens.js'

test('a token names its principal, and no two are alike', () => {
  for (const name of ['a', 'node-1', 'z'.repeat(63)]) expect(nameInToken(newToken(name))).toBe(name)
  expect(newToken('a')).not.toBe(newToken('a'))
  expect(newToken('app')).toMatch(/^qkv_app_[A-Za-z0-9_-]{43}$/)
})

test('what is no token names nobody', () => {
  const good = newToken('a')
  const bad = [
    '',
    'qkv_',
    good.slice(1),
    good.slice(0, -1),
    `${good}x`,
    `${good}\n`,
    ` ${good}`,
    good.replace('_a_', '_A_'),
  ]
  for (const token of [...bad, good.replace('_a_', '__'), `${good.slice(0, -1)}=`])
    expect(nameInToken(token)).toBeUndefined()
})

test('what is kept is the SHA-256 of the whole token', () => {
  expect(tokenHash('abc').toString('hex')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
})

import { type KvError, limits } from '@quorumkv/internal/base'
import { describe, expect, it } from 'vitest'
import { checkKey, checkPageSize, checkPrefix, checkTimeout, checkTtl, checkValue } from './validation.js'

/** The field that is refused; undefined: none is. */
function refused(check: () => void): string | undefined {
  try {
    check()
    return undefined
  } catch (error) {
    expect((error as KvError).code).toBe('invalid-argument')
    return (error as KvError).field
  }
}

describe('what is asked is taken at the limit, and refused beyond it', () => {
  it.each([
    ['key', limits.keyBytesMax, (n: number) => checkKey(new Uint8Array(n))],
    ['value', limits.valueBytesMax, (n: number) => checkValue(new Uint8Array(n))],
    ['prefix', limits.keyBytesMax, (n: number) => checkPrefix(new Uint8Array(n))],
    ['ttl_ms', limits.ttlMsMax, (n: number) => checkTtl(n)],
    ['timeout_ms', limits.requestTimeoutMsMax, (n: number) => checkTimeout(n, 'timeout_ms')],
    ['page_size', limits.scanPageEntriesMax, (n: number) => checkPageSize(n)],
  ])('%s', (field, most, check) => {
    expect([refused(() => check(1)), refused(() => check(most)), refused(() => check(most + 1))]).toEqual([
      undefined,
      undefined,
      field,
    ])
  })

  it('a key has one byte at least', () => {
    expect(refused(() => checkKey(new Uint8Array()))).toBe('key')
  })
})

import { expect, test } from 'vitest'
import { certificateName } from './names.js'

test('a name in quotes that cannot be read is refused as any wrong name is', () => {
  for (const text of ['DNS:"\\x"', 'URI:"a\u0001b"', 'DNS:"a, URI:b'])
    expect(() => certificateName(text)).toThrow(expect.objectContaining({ code: 'permission-denied' }))
})

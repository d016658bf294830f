import { format, inspect } from 'node:util'
import { expect, test } from 'vitest'
import { Secret } from './secret.js'

test('a secret is told to nobody but who asks for it by name', () => {
  const secret = new Secret('qkv_a_hidden')
  const shown = [
    String(secret),
    `${secret}`,
    inspect({ secret }),
    JSON.stringify({ secret }),
    format('%s %o %j', secret, secret, secret),
  ]
  for (const text of shown) {
    expect(text).not.toContain('hidden')
    expect(text).toContain('[secret]')
  }
  expect(secret.reveal()).toBe('qkv_a_hidden')
})

import { expect, test } from 'vitest'
import { UsageError } from './exit.js'
import { tlsArguments, tlsOptionsOf, tlsPathsOf } from './tls-options.js'

test('nothing is encrypted unless somebody says so', () => {
  expect(tlsPathsOf({}, { env: {} })).toBeUndefined()
  expect(tlsPathsOf({}, { env: { KV_TLS: '0', KV_TLS_CA: '' } })).toBeUndefined()
  expect(tlsOptionsOf(undefined)).toBeUndefined()
  expect(tlsArguments(undefined)).toEqual([])
})

test('a flag wins over the environment, and each of them turns TLS on', () => {
  expect(tlsPathsOf({ tlsCa: 'a' }, { env: { KV_TLS_CA: 'b' } })).toEqual({ ca: 'a', cert: undefined, key: undefined })
  expect(tlsPathsOf({}, { env: { KV_TLS: '1' } })).toEqual({ ca: undefined, cert: undefined, key: undefined })
  const paths = tlsPathsOf({ tlsCert: 'c' }, { env: { KV_TLS_KEY: 'k' } })
  expect(paths).toEqual({ ca: undefined, cert: 'c', key: 'k' })
  expect(tlsArguments(paths)).toEqual(['--tls', '--tls-cert=c', '--tls-key=k'])
})

test('a certificate without its key, and a file that is not there, are refused', () => {
  expect(() => tlsPathsOf({ tlsCert: 'c' }, { env: {} })).toThrow(UsageError)
  expect(() => tlsOptionsOf({ ca: '/nowhere', cert: undefined, key: undefined })).toThrow(
    /--tls-ca: cannot read \/nowhere/,
  )
})

import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { KvClient, KvError } from '../index.js'
import { resolveOptions } from '../options.js'
import { parseEndpoint } from './endpoints.js'

test.each([
  ['localhost:50051', { host: 'localhost', port: 50051 }],
  ['10.0.0.1:1', { host: '10.0.0.1', port: 1 }],
  ['node-1.example.com:65535', { host: 'node-1.example.com', port: 65535 }],
  ['[::1]:50051', { host: '::1', port: 50051 }],
  ['[fe80::1%eth0]:50051', { host: 'fe80::1%eth0', port: 50051 }],
])('%s is an endpoint', (text, endpoint) => {
  expect(parseEndpoint(text)).toEqual(endpoint)
})

test.each([
  '',
  'localhost',
  ':50051',
  'localhost:',
  'localhost:0',
  'localhost:65536',
  'localhost:5x',
  '::1:50051',
  '[::1]',
  'http://localhost:50051',
  'user@localhost:50051',
  'local host:50051',
])('%j is no endpoint, and a client refuses it', (text) => {
  expect(parseEndpoint(text)).toBeUndefined()
  expect(() => new KvClient([text])).toThrow(expect.objectContaining({ code: 'invalid-argument', field: 'endpoints' }))
})

test('a URL gives endpoints and options', () => {
  const config = resolveOptions('kv://a:1,[::1]:2?consistency=one&timeoutMs=500&tls=1&maxInFlight=7')
  expect(config.endpoints).toEqual(['a:1', '[::1]:2'])
  expect(config).toMatchObject({ consistency: 'one', timeoutMs: 500, tls: {}, maxInFlight: 7 })
  expect(resolveOptions('kv://a:1/?tls=0').tls).toBeUndefined()
})

test('a URL says where members are reached, and in which zone and how the client is', () => {
  const config = resolveOptions(
    'kv://a:1?addressMap=10.0.0.1:50051=localhost:7001,10.0.0.2:50051=localhost:7002&addressMap=c:3=d:4&zone=b&failWhenRefused=1',
  )
  expect(config).toMatchObject({ zone: 'b', failWhenRefused: true })
  const asked = ['10.0.0.1:50051', '10.0.0.2:50051', 'c:3', 'e:5']
  expect(asked.map(config.addressMap)).toEqual(['localhost:7001', 'localhost:7002', 'd:4', 'e:5'])
  const pem = fileURLToPath(import.meta.url)
  const { tls } = resolveOptions(`kv://a:1?tlsCert=${pem}&tls=1&tlsKey=${pem}&tlsCa=${pem}`)
  expect(Object.keys(tls!).sort()).toEqual(['ca', 'cert', 'key'])
})

test('endpoints may come as a list, as text, and more than once', () => {
  expect(resolveOptions(['a:1', 'a:1', 'b:2']).endpoints).toEqual(['a:1', 'b:2'])
  expect(resolveOptions('a:1, b:2').endpoints).toEqual(['a:1', 'b:2'])
})

test('what is not said has its default', () => {
  expect(resolveOptions({ endpoints: ['a:1'] })).toMatchObject({
    consistency: undefined,
    timeoutMs: 5000,
    maxInFlight: 16_384,
    tls: undefined,
  })
})

test.each([
  ['kv://', 'endpoints'],
  ['kv://a:1?timeoutMs=0', 'timeoutMs'],
  ['kv://a:1?timeoutMs=1e3', 'timeoutMs'],
  ['kv://a:1?timeoutMs=600001', 'timeoutMs'],
  ['kv://a:1?consistency=most', 'consistency'],
  ['kv://a:1?tls=yes', 'tls'],
  ['kv://a:1?tlsCa=/does/not/exist', 'tlsCa'],
  ['kv://a:1?tlsKey=/does/not/exist', 'tlsKey'],
  ['kv://a:1?addressMap=b:2', 'addressMap'],
  ['kv://a:1?addressMap=b:2=c', 'addressMap'],
  ['kv://a:1?zone=', 'zone'],
  ['kv://a:1?failWhenRefused=maybe', 'failWhenRefused'],
  ['kv://a:1?insecure=maybe', 'insecure'],
  ['kv://a:1?speed=high', 'url'],
  ['kv://a:1/db', 'url'],
  ['kv://a:1#x', 'url'],
  ['redis://a:1', 'url'],
])('%s is refused, naming %s', (url, field) => {
  expect(() => resolveOptions(url)).toThrow(expect.objectContaining({ code: 'invalid-argument', field }))
})

test.each([
  [{ endpoints: [] }, 'endpoints'],
  [{ endpoints: 'a:1' }, 'endpoints'],
  [{}, 'endpoints'],
  [{ endpoints: ['a:1'], timeoutMs: -1 }, 'timeoutMs'],
  [{ endpoints: ['a:1'], consistency: 'QUORUM' }, 'consistency'],
  [{ endpoints: ['a:1'], maxInFlight: 0 }, 'maxInFlight'],
  [{ endpoints: ['a:1'], maxInFlightBytes: 1000 }, 'maxInFlightBytes'],
  [{ endpoints: ['a:1'], connectTimeoutMs: 0.5 }, 'connectTimeoutMs'],
  [{ endpoints: ['a:1'], tls: 'yes' }, 'tls'],
  [{ endpoints: ['a:1'], tls: { ca: 5 } }, 'tls.ca'],
  [{ endpoints: ['a:1'], tls: { cert: 'x' } }, 'tls'],
  [{ endpoints: ['a:1'], addressMap: { 'b:2': 'c' } }, 'addressMap'],
  [{ endpoints: ['a:1'], addressMap: ['b:2'] }, 'addressMap'],
  [{ endpoints: ['a:1'], addressMap: 'b:2=c:3' }, 'addressMap'],
  [{ endpoints: ['a:1'], zone: '' }, 'zone'],
  [{ endpoints: ['a:1'], zone: 7 }, 'zone'],
  [null, 'options'],
  [7, 'options'],
])('options %j are refused, naming %s', (options, field) => {
  const construct = (): KvClient => new KvClient(options as never)
  expect(construct).toThrow(KvError)
  expect(construct).toThrow(expect.objectContaining({ code: 'invalid-argument', field }))
})

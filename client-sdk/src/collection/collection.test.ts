import * as v from 'valibot'
import { beforeEach, describe, expect, expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import {
  bytes,
  type Codec,
  type Collection,
  type CollectionScanOptions,
  collectionOn,
  json,
  type KvError,
  SchemaError,
  type StandardSchemaV1,
  text,
} from '../index.js'
import { rejection, until } from '../session/sockets.test-support.js'
import { client, cluster, startThreeNodes } from '../three-nodes.test-support.js'

startThreeNodes()

const sentOperations = (): number => cluster.nodes.reduce((sum, { operations }) => sum + operations.length, 0)

async function collect<T>(entries: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const entry of entries) all.push(entry)
  return all
}

interface User {
  readonly name: string
  readonly tags: readonly string[]
}

const ada: User = { name: 'Ada', tags: ['a', 'b'] }

describe('keys', () => {
  test('a collection stores under its prefix and shows keys without it', async () => {
    const users = client.collection('user:', json<User>())
    const { acks } = await users.put('1', ada)
    expect(acks).toBe(2)
    expect(await client.get('user:1')).toBe(JSON.stringify(ada))
    expect(await users.get('1')).toEqual(ada)
    expect(await users.get('2')).toBeUndefined()
    const entry = await users.getEntry('1')
    expect(entry).toMatchObject({ key: '1', value: ada, expiresAt: undefined })
    expect((await users.delete('1')).existed).toBe(true)
    expect(await users.getEntry('1')).toBeUndefined()
  })

  test('prefixes nest, with the same codec or another', async () => {
    const users = client.collection('user:', text)
    const admins = users.collection('admin:')
    const counts = admins.collection('n:', json<number>())
    await admins.put('1', 'Ada')
    await counts.put('1', 7)
    expect([admins.prefix, counts.prefix]).toEqual(['user:admin:', 'user:admin:n:'])
    expect(await client.get('user:admin:1')).toBe('Ada')
    expect(await client.get('user:admin:n:1')).toBe('7')
    expect(await users.get('admin:1')).toBe('Ada')
  })

  test('prefixes and keys of bytes are joined as bytes', async () => {
    const raw = client.collection(new Uint8Array([0xff, 0]), bytes)
    const inner = raw.collection('ü')
    await inner.put(new Uint8Array([1]), new Uint8Array([9]))
    await inner.put('k', new Uint8Array([8]))
    expect(await client.getBytes(new Uint8Array([0xff, 0, 0xc3, 0xbc, 1]))).toEqual(new Uint8Array([9]))
    expect(await inner.get('k')).toEqual(new Uint8Array([8]))
    const found = await collect(raw.scan())
    expect(found.map(({ keyBytes }) => [...keyBytes])).toEqual([
      [0xc3, 0xbc, 1],
      [0xc3, 0xbc, 0x6b],
    ])
  })

  test('a prefix and a key cannot make one character of two halves', async () => {
    expect(() => client.collection('a\ud83d', text)).toThrow(expect.objectContaining({ field: 'prefix' }))
    expect((await rejection(client.collection('a', text).get('\ude00'))).field).toBe('key')
  })

  test.each([
    [() => client.collection(7 as never, text), 'prefix'],
    [() => client.collection('p'.repeat(1025), text), 'prefix'],
    [() => client.collection('a', json as never), 'codec'],
    [() => client.collection('a', undefined as never), 'codec'],
    [() => client.collection('a', { encode: 1, decode: 2 } as never), 'codec'],
    [() => client.collection('a', text).collection(null as never), 'prefix'],
  ])('%s is refused at once, naming %s', (make, field) => {
    expect(make).toThrow(expect.objectContaining({ name: 'KvError', code: 'invalid-argument', field }))
  })

  test('keys that are none are refused, naming the key', async () => {
    const users = client.collection('user:', text)
    for (const call of [users.get(1 as never), users.put(null as never, ''), users.delete('k'.repeat(1024))]) {
      expect(await rejection(call)).toMatchObject({ code: 'invalid-argument', field: 'key' })
    }
    expect(sentOperations()).toBe(0)
  })
})

describe('codecs', () => {
  test('text refuses what is no string, and to read what is no UTF-8', async () => {
    const names = client.collection('n:', text)
    expect(await rejection(names.put('1', 7 as never))).toMatchObject({ code: 'invalid-argument', field: 'value' })
    await client.put('n:2', new Uint8Array([0xff]))
    const error = await rejection(names.get('2'))
    expect([error.code, error.field]).toEqual(['not-text', 'value'])
    expect(error.message).toContain('"n:2"')
  })

  test('bytes refuse text', async () => {
    const error = await rejection(client.collection('n:', bytes).put('1', 'text' as never))
    expect([error.code, error.field]).toEqual(['invalid-argument', 'value'])
  })

  test('json refuses what has no JSON, and writes nothing', async () => {
    const things = client.collection('t:', json<unknown>())
    const cycle: Record<string, unknown> = {}
    cycle['self'] = cycle
    for (const value of [undefined, () => 1, 10n, cycle]) {
      const error = await rejection(things.put('1', value))
      expect(error).toMatchObject({ code: 'invalid-argument', field: 'value', outcome: 'not-applied' })
    }
    expect(sentOperations()).toBe(0)
  })

  test('what is stored but no JSON does not fit, and the error names the key', async () => {
    await client.put('t:1', '{oops')
    const error = await rejection(client.collection('t:', json<unknown>()).get('1'))
    expect([error.code, error.field, error.retryable]).toEqual(['not-valid', 'value', false])
    expect(error.message).toContain('"t:1"')
    expect(error.cause).toBeInstanceOf(SyntaxError)
  })

  test('json gives what JSON holds of dates, big numbers and undefined', async () => {
    const things = client.collection('t:', json<unknown>())
    await things.put('1', { at: new Date(0), gone: undefined, none: Number.NaN })
    expect(await things.get('1')).toEqual({ at: '1970-01-01T00:00:00.000Z', none: null })
    await client.put('t:2', '9007199254740993')
    expect(await things.get('2')).toBe(9007199254740992)
  })

  test('a codec of the caller may be asynchronous, and what it throws is told as what does not fit', async () => {
    const codec: Codec<number> = {
      encode: async (value) => {
        if (value < 0) throw new RangeError('below zero')
        return new Uint8Array([value])
      },
      decode: async ([value]) => {
        if (value === 13) throw new Error('unlucky')
        return value!
      },
    }
    const numbers = client.collection('n:', codec)
    await numbers.put('1', 5)
    expect(await numbers.get('1')).toBe(5)
    const refused = await rejection(numbers.put('1', -1))
    expect([refused.code, refused.field]).toEqual(['invalid-argument', 'value'])
    expect(refused.cause).toBeInstanceOf(RangeError)
    await numbers.put('2', 13)
    const misfit = await rejection(numbers.get('2'))
    expect([misfit.code, (misfit.cause as Error).message]).toEqual(['not-valid', 'unlucky'])
  })
})

describe('schemas', () => {
  const zodUser = z.object({ name: z.string(), address: z.object({ lines: z.array(z.string()) }) })
  const valibotUser = v.object({ name: v.string(), address: v.object({ lines: v.array(v.string()) }) })
  const good = { name: 'Ada', address: { lines: ['a', 'b'] } }
  const bad = { name: 'Ada', address: { lines: ['a', 7 as never] } }

  test.each([
    ['zod', zodUser],
    ['valibot', valibotUser],
  ])('%s: values are checked when written and when read, and the error names the place', async (_, validator) => {
    const users = client.collection('user:', validator as StandardSchemaV1<typeof good>)
    await users.put('1', good)
    expect(await users.get('1')).toEqual(good)

    const sent = sentOperations()
    const refused = await rejection(users.put('1', bad))
    expect(refused).toMatchObject({ code: 'invalid-argument', field: 'value.address.lines[1]', outcome: 'not-applied' })
    expect(refused.cause).toBeInstanceOf(SchemaError)
    expect((refused.cause as SchemaError).issues).toHaveLength(1)
    expect(sentOperations()).toBe(sent)

    await client.put('user:2', JSON.stringify(bad))
    const misfit = await rejection(users.get('2'))
    expect([misfit.code, misfit.field]).toEqual(['not-valid', 'value.address.lines[1]'])
    expect(misfit.message).toContain('"user:2"')
    expect(misfit.cause).toBeInstanceOf(SchemaError)
  })

  test('whatever a schema throws is told as a KvError', async () => {
    const thrown: unknown = Object.create(null)
    const validate = (): never => {
      throw thrown
    }
    const standard: StandardSchemaV1<unknown> = { '~standard': { version: 1, vendor: 'test', validate } }
    const values = client.collection('odd:', standard)
    await client.put('odd:1', '{}')
    await expect(values.put('1', {})).rejects.toMatchObject({ code: 'invalid-argument', cause: thrown })
    await expect(values.get('1')).rejects.toMatchObject({ code: 'not-valid', cause: thrown })
  })

  test('values go in as given and come out as the schema makes them', async () => {
    const events = client.collection('e:', z.object({ at: z.coerce.date<Date | string>(), n: z.number().default(3) }))
    await events.put('1', { at: new Date(5) })
    expect(await client.get('e:1')).toBe('{"at":"1970-01-01T00:00:00.005Z"}')
    expect(await events.get('1')).toEqual({ at: new Date(5), n: 3 })
  })

  test('what could not be read back is not written', async () => {
    const events = client.collection('e:', z.object({ at: z.date() }))
    const error = await rejection(events.put('1', { at: new Date(5) }))
    expect(error).toMatchObject({ code: 'invalid-argument', field: 'value.at' })
    expect(sentOperations()).toBe(0)
  })

  test('a schema may be asynchronous, and be a function', async () => {
    const even: StandardSchemaV1<number> = Object.assign(() => undefined, {
      '~standard': {
        version: 1 as const,
        vendor: 'test',
        validate: async (value: unknown) =>
          (value as number) % 2 === 0 ? { value: value as number } : { issues: [{ message: 'odd' }] },
      },
    })
    const numbers = client.collection('n:', even)
    await numbers.put('1', 4)
    expect(await numbers.get('1')).toBe(4)
    expect(await rejection(numbers.put('1', 5))).toMatchObject({ code: 'invalid-argument', field: 'value' })
  })

  test('names in a path that are not identifiers are quoted, and further issues counted', async () => {
    const things = client.collection('t:', z.object({ 'a b': z.string(), c: z.string() }))
    const error = await rejection(things.put('1', {} as never))
    expect(error.field).toBe('value["a b"]')
    expect(error.message).toContain('(and 1 more)')
  })
})

describe('many', () => {
  test('getMany gives typed values by the key that was given', async () => {
    const counts = client.collection('n:', json<number>())
    await counts.putMany([['1', 1], { key: '2', value: 2 }, ['3', 0]])
    const key = new TextEncoder().encode('3')
    const found = await counts.getMany<string | Uint8Array>(['2', '1', '2', 'none', key])
    expect([...found]).toEqual([
      ['2', 2],
      ['1', 1],
      [key, 0],
    ])
  })

  test('getMany rejects with the key whose value does not fit', async () => {
    await client.putMany([
      ['n:1', '1'],
      ['n:2', 'x'],
    ])
    const error = await rejection(client.collection('n:', json<number>()).getMany(['1', '2']))
    expect(error.code).toBe('not-valid')
    expect(error.message).toContain('"n:2"')
  })

  test('one entry that does not fit fails alone, and the outcomes keep their places', async () => {
    const counts = client.collection('n:', z.number())
    const outcomes = await counts.putMany([
      ['1', 1],
      ['2', 'two' as never],
      { key: 3 as never, value: 3 },
      null as never,
      { key: '5', value: 5, ttlMs: 60_000 },
    ])
    const told = outcomes.map((outcome) => (outcome.ok ? outcome.acks : [outcome.error.code, outcome.error.field]))
    expect(told).toEqual([
      2,
      ['invalid-argument', 'value'],
      ['invalid-argument', 'key'],
      ['invalid-argument', 'entries'],
      2,
    ])
    expect((await counts.getEntry('5'))!.expiresAt).toBeInstanceOf(Date)
    expect((await counts.getEntry('1'))!.expiresAt).toBeUndefined()
  })
})

describe('scan', () => {
  const names = ['a:1', 'a:2', 'b:1']

  beforeEach(async () => {
    await client.putMany([...names.map((name) => [`n:${name}`, '1'] as const), ['other', 'x']])
  })

  test('gives typed values and keys without the prefix, and narrows further', async () => {
    const counts = client.collection('n:', json<number>())
    expect((await collect(counts.scan())).map(({ key, value }) => [key, value])).toEqual(names.map((n) => [n, 1]))
    expect((await collect(counts.scan({ prefix: 'a:' }))).map(({ key }) => key)).toEqual(['a:1', 'a:2'])
    const [entry] = await collect(counts.collection('b:').scan())
    expect(entry).toMatchObject({ key: '1', keyBytes: new Uint8Array([0x31]), value: 1 })
  })

  test('goes on behind a cursor', async () => {
    const counts = client.collection('n:', json<number>())
    let cursor: string | undefined
    for await (const entry of counts.scan({ pageSize: 2 })) {
      cursor = entry.cursor
      if (cursor !== undefined) break
    }
    expect((await collect(counts.scan({ cursor }))).map(({ key }) => key)).toEqual(['b:1'])
  })

  test('without values asks for none, and checks none', async () => {
    const entries = await collect(client.collection('n:', z.literal('never')).scan({ keysOnly: true }))
    expect(entries.map(({ key, value }) => [key, value])).toEqual(names.map((name) => [name, undefined]))
    expect(cluster.nodes.flatMap(({ scans }) => scans)[0]!.keysOnly).toBe(true)
  })

  test('ends at a value that does not fit, or tells of it and leaves it out', async () => {
    await client.put('n:a:2', 'oops')
    const counts = client.collection('n:', json<number>())
    const error = await rejection(collect(counts.scan()))
    expect(error.code).toBe('not-valid')
    expect(error.message).toContain('"n:a:2"')
    const misfits: [KvError['code'], string][] = []
    const onMisfit: CollectionScanOptions['onMisfit'] = (misfit, key) =>
      misfits.push([misfit.code, Buffer.from(key).toString()])
    expect((await collect(counts.scan({ onMisfit }))).map(({ key }) => key)).toEqual(['a:1', 'b:1'])
    expect(misfits).toEqual([['not-valid', 'a:2']])
    expect((await rejection(collect(counts.scan({ onMisfit: 1 as never })))).field).toBe('onMisfit')
  })

  test('that is left early leaves no call behind', async () => {
    const big = 'b'.repeat(500_000)
    await client.putMany(Array.from({ length: 60 }, (_, i) => [`n:big:${100 + i}`, big] as const))
    for await (const _ of client.collection('n:', text).scan({ pageSize: 1 })) break
    await until(() => cluster.nodes.every(({ openScans }) => openScans === 0), 'the node has seen the end of the scan')
  })
})

test('a collection stands on whatever has the methods of a client', async () => {
  const seen: unknown[] = []
  const store = { ...client, delete: async (key: unknown) => ({ existed: seen.push(key) > 0, version: undefined }) }
  await collectionOn(store as never, 'user:', text).delete('1')
  expect(seen).toEqual(['user:1'])
})

test('types are inferred from the codec or the schema', () => {
  const users = client.collection('user:', json<User>())
  expectTypeOf(users).toEqualTypeOf<Collection<User>>()
  expectTypeOf(users.get).returns.resolves.toEqualTypeOf<User | undefined>()
  expectTypeOf(users.collection('x')).toEqualTypeOf<Collection<User>>()
  expectTypeOf(users.collection('x', text).get).returns.resolves.toEqualTypeOf<string | undefined>()
  expectTypeOf(client.collection('', bytes).get).returns.resolves.toEqualTypeOf<Uint8Array | undefined>()

  const zod = client.collection('', z.object({ at: z.coerce.date<string>(), n: z.number().default(3) }))
  expectTypeOf(zod).toEqualTypeOf<Collection<{ at: string; n?: number | undefined }, { at: Date; n: number }>>()
  expectTypeOf(zod.put).parameter(1).toEqualTypeOf<{ at: string; n?: number | undefined }>()
  expectTypeOf(zod.getMany<string>).returns.resolves.toEqualTypeOf<Map<string, { at: Date; n: number }>>()

  const valibot = client.collection('', v.pipe(v.string(), v.transform(Number)))
  expectTypeOf(valibot).toEqualTypeOf<Collection<string, number>>()
  const nested = users.collection('x', v.number())
  expectTypeOf(nested).toEqualTypeOf<Collection<number>>()

  type Scanned<T> = T extends AsyncIterable<infer E> ? E : never
  expectTypeOf<Scanned<ReturnType<typeof nested.scan>>['value']>().toEqualTypeOf<number | undefined>()
  const all = nested.scan({ prefix: 'a' })
  expectTypeOf<Scanned<typeof all>['value']>().toEqualTypeOf<number>()
  const keys = nested.scan({ keysOnly: true })
  expectTypeOf<Scanned<typeof keys>['value']>().toEqualTypeOf<undefined>()
  // @ts-expect-error: not a User
  const wrong = (): unknown => users.put('1', { name: 7 })
  expectTypeOf(wrong).toBeFunction()
  // @ts-expect-error: json has to be called
  const uncalled = (): unknown => client.collection('', json)
  expect(uncalled).toThrow('call it')
})

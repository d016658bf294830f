import { KvError } from '@quorumkv/internal/base'
import { describe, expect, it } from 'vitest'
import { FakeNode, type HeldOperation } from '../calls/fake-node.test-support.js'
import { eventually } from '../calls/services.test-support.js'
import { answer, testApp } from './app.test-support.js'
import { ByteBudget, Holding } from './byte-budget.js'

const octets = { 'content-type': 'application/octet-stream' }
const put = (size: number): RequestInit => ({ method: 'PUT', headers: octets, body: new Uint8Array(size) })

describe('what requests hold together', () => {
  it('is bounded: one more is overloaded, and certainly not applied, until another has ended', async () => {
    const node = new FakeNode()
    const held: HeldOperation[] = []
    node.held = held
    const { app } = testApp(node, { bodies: new ByteBudget(100) })
    const first = app.request('/kv/a', put(60))
    await eventually('it runs', () => held.length === 1)
    const second = await app.request('/kv/b', put(60))
    expect([second.status, second.headers.get('retry-after')]).toEqual([429, '1'])
    expect(await answer(second)).toMatchObject({ code: 'overloaded', outcome: 'not-applied', retryable: true })
    held[0]!.release()
    expect((await first).status).toBe(200)
    const third = app.request('/kv/c', put(60))
    await eventually('the next one runs', () => held.length === 2)
    held[1]!.release()
    expect((await third).status).toBe(200)
  })

  it('counts values that are read as well', async () => {
    const node = new FakeNode()
    const { app } = testApp(node, { bodies: new ByteBudget(100) })
    await app.request('/kv/a', put(100))
    node.records.set('b', { ...node.records.get('a')!, value: new Uint8Array(101) })
    expect((await app.request('/kv/a')).status).toBe(200)
    expect((await app.request('/kv/b')).status).toBe(429)
    expect((await app.request('/kv?limit=10')).status).toBe(429)
  })

  it('is given up by the address with most, also where those who are closed first hold nothing', () => {
    const budget = new ByteBudget(100)
    let closed = 0
    new Holding(budget, 'a', undefined, () => closed === 3).take(90)
    const mine = new Holding(budget, 'b', (address) => address === 'a' && ++closed <= 3)
    mine.take(10)
    expect([closed, budget.held]).toEqual([0, 100])
    mine.take(1)
    expect([closed, budget.held]).toEqual([3, 11])
    // Nobody is left.
    new Holding(budget, 'a').take(89)
    expect(() => mine.take(1)).toThrow('too many bytes')
    expect([closed, budget.held]).toEqual([4, 100])
  })

  it('is given back once, and nothing is taken for who has gone', () => {
    const budget = new ByteBudget(10)
    const holding = new Holding(budget)
    holding.take(7)
    new Holding(budget).take(3)
    expect(() => new Holding(budget).take(1)).toThrow(KvError)
    holding.release()
    holding.release()
    expect(budget.held).toBe(3)
    expect(() => holding.take(1)).toThrow('the caller has gone')
    expect(budget.held).toBe(3)
  })
})

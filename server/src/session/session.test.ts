import { Client, type ClientDuplexStream, credentials, type ServiceError, status } from '@grpc/grpc-js'
import { AssertionError, KvError, limits } from '@quorumkv/internal/base'
import { hlcOf, hlcToBigint } from '@quorumkv/internal/hlc'
import {
  Consistency,
  ErrorCode,
  type KvClient,
  type Operation,
  type Result,
  type SessionRequest,
  type SessionResponse,
  WriteOutcome,
} from '@quorumkv/proto/kv/v1/kv'
import { describe, expect, it, vi } from 'vitest'
import { FakeNode, fakeTopology } from '../calls/fake-node.test-support.js'
import { eventually, reply, startServices, type TestServices, testClock } from '../calls/services.test-support.js'

const consistency = Consistency.QUORUM

/** One end of a session, with what arrived. */
class Talk {
  readonly stream: ClientDuplexStream<SessionRequest, SessionResponse>
  readonly responses: SessionResponse[] = []
  readonly results = new Map<number, Result['outcome']>()
  error: ServiceError | undefined
  ended = false

  constructor(kv: KvClient) {
    this.stream = kv.session()
    this.stream.on('data', (response: SessionResponse) => {
      this.responses.push(response)
      for (const { id, outcome } of response.results) this.results.set(id, outcome)
    })
    this.stream.on('error', (error: ServiceError) => {
      this.error = error
    })
    this.stream.on('end', () => {
      this.ended = true
    })
  }

  send(operations: Operation[], more: Partial<SessionRequest> = {}): void {
    this.stream.write({ observedHlc: 0n, operations, cancelled: [], ...more })
  }

  async result(id: number): Promise<NonNullable<Result['outcome']>> {
    await eventually(`the result of ${id}`, () => this.results.has(id))
    return this.results.get(id)!
  }

  async errorOf(id: number): Promise<readonly [ErrorCode, WriteOutcome, string, string]> {
    const outcome = await this.result(id)
    if (outcome.$case !== 'error') throw new Error(`${id} succeeded`)
    const { code, writeOutcome, field, message } = outcome.value
    return [code, writeOutcome, field, message]
  }
}

/** What most operations do not say. */
const bare = { stampAboveMs: 0n, stampLimitMs: 0n, traceparent: '' }

function get(id: number, key = 'k', timeoutMs = 0): Operation {
  return { id, timeoutMs, ...bare, request: { $case: 'get', value: { key: Buffer.from(key), consistency } } }
}

function put(id: number, key = 'k', value = Buffer.from('v'), ttlMs?: bigint): Operation {
  const request = { key: Buffer.from(key), value, consistency, returnPrevious: false, ttlMs }
  return { id, timeoutMs: 0, ...bare, request: { $case: 'put', value: request } }
}

function remove(id: number, key = 'k'): Operation {
  return { id, timeoutMs: 0, ...bare, request: { $case: 'delete', value: { key: Buffer.from(key), consistency } } }
}

describe('session', () => {
  it('a client hears at once that the session stands', async () => {
    await using services = await startServices()
    const talk = new Talk(services.kv)
    await new Promise((resolve) => talk.stream.once('metadata', resolve))
    talk.stream.cancel()
  })

  it('what ends in one turn leaves as one message, with the clock and the epoch', async () => {
    const node = new FakeNode()
    node.topology = fakeTopology(7)
    await using services = await startServices(node)
    const talk = new Talk(services.kv)
    talk.send([put(1, 'a'), put(2, 'b', Buffer.from('w'), 1_000n), get(3, 'missing'), remove(4, 'a')])
    expect((await talk.result(4)).$case).toBe('delete')
    expect(talk.responses).toHaveLength(1)
    expect(talk.responses[0]!.epoch).toBe(7n)
    expect(talk.responses[0]!.hlc).toBe(hlcToBigint(node.clockReading()))
    expect(talk.results.get(3)).toMatchObject({ $case: 'get', value: { found: false } })
    talk.send([get(5, 'b')])
    expect(await talk.result(5)).toMatchObject({
      value: { found: true, value: Buffer.from('w'), expiresAtMs: 1_700_000_001_000n },
    })
    talk.stream.cancel()
  })

  it('a result leaves at once where nothing else is under way, and with the turn of the loop where something is', async () => {
    const node = new FakeNode()
    node.held = []
    await using services = await startServices(node)
    const turns: (() => void)[] = []
    using _ = vi.spyOn(testClock, 'defer').mockImplementation((fire) => void turns.push(fire))
    const talk = new Talk(services.kv)
    talk.send([get(1), get(2)])
    await eventually('both are held', () => node.held?.length === 2)
    node.held[0]!.release()
    await eventually('a turn is waited for', () => turns.length === 1)
    node.held[1]!.release()
    await talk.result(2)
    expect(talk.responses).toHaveLength(1)
    expect(turns).toHaveLength(1)
    talk.stream.cancel()
  })

  it('results come in the order in which operations end', async () => {
    const node = new FakeNode()
    node.held = []
    await using services = await startServices(node)
    const talk = new Talk(services.kv)
    talk.send([get(1, 'slow'), get(2, 'fast')])
    await eventually('both are held', () => node.held?.length === 2)
    node.held[1]!.release()
    await talk.result(2)
    expect(talk.results.has(1)).toBe(false)
    node.held[0]!.release()
    await talk.result(1)
    talk.stream.cancel()
  })

  it('bad operations are refused one by one, naming the field; their neighbours go on', async () => {
    const node = new FakeNode()
    await using services = await startServices(node)
    const talk = new Talk(services.kv)
    talk.send([
      get(1, ''),
      put(2, 'k', Buffer.alloc(limits.valueBytesMax + 1)),
      put(3, 'k', Buffer.from('v'), 0n),
      { id: 4, timeoutMs: 0, ...bare, request: undefined },
      put(5, 'good'),
    ])
    const invalid = ErrorCode.INVALID_ARGUMENT
    expect((await talk.errorOf(1)).slice(0, 3)).toEqual([invalid, WriteOutcome.UNSPECIFIED, 'key'])
    expect((await talk.errorOf(2)).slice(0, 3)).toEqual([invalid, WriteOutcome.NOT_APPLIED, 'value'])
    expect((await talk.errorOf(3)).slice(0, 3)).toEqual([invalid, WriteOutcome.NOT_APPLIED, 'ttl_ms'])
    expect((await talk.errorOf(4)).slice(0, 3)).toEqual([invalid, WriteOutcome.NOT_APPLIED, 'request'])
    expect((await talk.result(5)).$case).toBe('put')
    expect([...node.records.keys()]).toEqual(['good'])
    talk.stream.cancel()
  })

  it('an id that is in flight is refused, and the first operation under it goes on', async () => {
    const node = new FakeNode()
    node.held = []
    await using services = await startServices(node)
    const talk = new Talk(services.kv)
    talk.send([get(1), get(1, 'other'), get(2)])
    expect((await talk.errorOf(1)).slice(0, 3)).toEqual([ErrorCode.INVALID_ARGUMENT, WriteOutcome.UNSPECIFIED, 'id'])
    talk.results.clear()
    node.held[0]!.release()
    expect((await talk.result(1)).$case).toBe('get')
    talk.send([get(1)])
    await eventually('the id is free again', () => node.held?.length === 3)
    talk.stream.cancel()
  })

  it('operations past the limit are overloaded, and certainly not applied', async () => {
    const node = new FakeNode()
    node.held = []
    await using services = await startServices(node)
    const talk = new Talk(services.kv)
    talk.send(Array.from({ length: limits.sessionOpsMax }, (_, i) => get(i)))
    talk.send([put(1_000_000)])
    const [code, outcome] = await talk.errorOf(1_000_000)
    expect([code, outcome]).toEqual([ErrorCode.OVERLOADED, WriteOutcome.NOT_APPLIED])
    expect(node.held).toHaveLength(limits.sessionOpsMax)
    for (const operation of node.held) operation.release()
    await eventually('the others end', () => talk.results.size === limits.sessionOpsMax + 1)
    talk.stream.cancel()
  })

  it('a cancelled operation is cancelled, and no other', async () => {
    const node = new FakeNode()
    node.held = []
    await using services = await startServices(node)
    const talk = new Talk(services.kv)
    talk.send([put(1, 'a'), put(2, 'b')])
    await eventually('both are held', () => node.held?.length === 2)
    talk.send([], { cancelled: [1, 77] })
    expect((await talk.errorOf(1)).slice(0, 2)).toEqual([ErrorCode.CANCELLED, WriteOutcome.UNKNOWN])
    expect(node.held[1]!.cancellation?.cancelled).toBe(false)
    talk.stream.cancel()
  })

  it('a client that goes away cancels everything', async () => {
    const node = new FakeNode()
    node.held = []
    await using services = await startServices(node)
    const talk = new Talk(services.kv)
    talk.send([put(1, 'a'), put(2, 'b')])
    await eventually('both are held', () => node.held?.length === 2)
    talk.stream.cancel()
    await eventually('both are cancelled', () => node.held!.every((held) => held.cancellation?.cancelled === true))
  })

  it('a client that has nothing more to send still gets its results, then the end', async () => {
    const node = new FakeNode()
    node.held = []
    await using services = await startServices(node)
    const talk = new Talk(services.kv)
    talk.send([put(1)])
    await eventually('it is held', () => node.held?.length === 1)
    talk.stream.end()
    // On the same connection, and so behind the end.
    await reply((done) => services.cluster.status({}, done))
    node.held[0]!.release()
    await eventually('the end', () => talk.ended)
    expect(talk.results.get(1)?.$case).toBe('put')
    expect(talk.error).toBeUndefined()
  })

  it('each operation has its own deadline, within the limits', async () => {
    const node = new FakeNode()
    node.held = []
    await using services = await startServices(node)
    const talk = new Talk(services.kv)
    const startMs = performance.now()
    const longestMs = limits.requestTimeoutMsMax
    talk.send([get(1, 'a', 500), get(2, 'b', 0), get(3, 'c', longestMs), get(4, 'd', longestMs + 1)])
    await eventually('the last is refused', () => talk.results.has(4))
    expect(talk.results.get(4)).toMatchObject({ $case: 'error', value: { field: 'timeout_ms' } })
    await eventually('all are held', () => node.held?.length === 3)
    const nowMs = performance.now()
    const wantedMs = [500, limits.requestTimeoutMs, longestMs]
    for (const [i, wanted] of wantedMs.entries()) {
      expect(node.held[i]!.deadlineMs).toBeGreaterThanOrEqual(startMs + wanted - 10)
      expect(node.held[i]!.deadlineMs).toBeLessThan(nowMs + wanted)
    }
    talk.stream.cancel()
  })

  it('failures carry their outcome; a bug is reported and named to nobody', async () => {
    const node = new FakeNode()
    node.held = []
    await using services = await startServices(node)
    const talk = new Talk(services.kv)
    const bug = new AssertionError('secret')
    talk.send([put(1), get(2), put(3)])
    await eventually('all are held', () => node.held?.length === 3)
    node.held[0]!.fail(new KvError('unavailable', 'no quorum', { outcome: 'unknown' }))
    node.held[1]!.fail(new KvError('timeout', 'late'))
    node.held[2]!.fail(bug)
    expect(await talk.errorOf(1)).toEqual([ErrorCode.UNAVAILABLE, WriteOutcome.UNKNOWN, '', 'no quorum'])
    expect(await talk.errorOf(2)).toEqual([ErrorCode.TIMEOUT, WriteOutcome.UNSPECIFIED, '', 'late'])
    const [code, outcome, , message] = await talk.errorOf(3)
    expect([code, outcome]).toEqual([ErrorCode.INTERNAL, WriteOutcome.UNKNOWN])
    expect(message).not.toContain('secret')
    expect(services.bugs).toEqual([bug])
    talk.stream.cancel()
  })

  it("a client's clock is merged; one too far ahead is ignored and logged once", async () => {
    const node = new FakeNode()
    node.maxObservedMs = 2_000
    await using services = await startServices(node)
    const talk = new Talk(services.kv)
    talk.send([get(1)], { observedHlc: hlcToBigint(hlcOf(1_000, 3)) })
    talk.send([get(2)], { observedHlc: hlcToBigint(hlcOf(9_000, 0)) })
    talk.send([get(3)], { observedHlc: hlcToBigint(hlcOf(9_000, 0)) })
    await talk.result(3)
    expect(node.observed).toEqual([hlcOf(1_000, 3)])
    expect(services.lines.filter(({ level }) => level === 'warn')).toHaveLength(1)
    talk.stream.cancel()
  })

  it('bytes that are no request end that session only', async () => {
    await using services = await startServices()
    const raw = new Client(services.address, credentials.createInsecure())
    const same = (bytes: Buffer): Buffer => bytes
    const stream = raw.makeBidiStreamRequest('/kv.v1.Kv/Session', same, same)
    stream.on('data', () => undefined)
    const failed = new Promise<ServiceError>((resolve) => stream.on('error', resolve))
    stream.write(Buffer.from([0xff, 0xff, 0xff, 0xff]))
    expect((await failed).code).toBe(status.INVALID_ARGUMENT)
    raw.close()
    const talk = new Talk(services.kv)
    talk.send([put(1)])
    expect((await talk.result(1)).$case).toBe('put')
    talk.stream.cancel()
  })

  it('a stopping node answers what has ended and then says that it is unavailable', async () => {
    const node = new FakeNode()
    node.held = []
    await using services = await startServices(node)
    const talk = new Talk(services.kv)
    talk.send([put(1)])
    await eventually('it is held', () => node.held?.length === 1)
    node.held[0]!.release()
    // Time for the promise to be kept, but not for the event loop to turn.
    for (let i = 0; i < 20; i++) await Promise.resolve()
    services.sessions.close('the node stops')
    await eventually('the session ends', () => talk.error !== undefined)
    expect(talk.results.get(1)?.$case).toBe('put')
    expect([talk.error!.code, talk.error!.details]).toEqual([status.UNAVAILABLE, 'the node stops'])
    const late = new Talk(services.kv)
    await eventually('new sessions are refused', () => late.error?.code === status.UNAVAILABLE)
  })
})

describe('a session whose client does not read', () => {
  const large = Buffer.alloc(1_000_000, 7)

  /** A session that has read one result and then stopped. */
  async function deafTalk(kv: KvClient): Promise<Talk> {
    const talk = new Talk(kv)
    talk.send([put(0, 'big', large)])
    await talk.result(0)
    talk.stream.pause()
    return talk
  }

  it('is not read from either, once enough results wait, and goes on when the client does', async () => {
    const node = new FakeNode()
    await using services = await startServices(node)
    const talk = await deafTalk(services.kv)
    let gets = 0
    const original = node.get.bind(node)
    node.get = (key, options) => {
      gets++
      return original(key, options)
    }
    const count = 100
    for (let i = 1; i <= count; i++) {
      talk.send([get(i, 'big')])
      // One request for each message, over several turns, so that the pause has its chance.
      await new Promise((resolve) => setImmediate(resolve))
    }
    await eventually('the server has stopped reading', () => gets > 0)
    let seen = -1
    await eventually('it has come to rest', () => {
      const rests = gets === seen
      seen = gets
      return rests
    })
    expect(gets).toBeLessThan(60)
    talk.stream.resume()
    await eventually('all results are there', () => talk.results.size === count + 1)
    expect([...talk.results.values()].every((outcome) => outcome?.$case !== 'error')).toBe(true)
    talk.stream.cancel()
  })

  it.each([
    ['the node drains', (services: TestServices) => services.sessions.drain(), status.OK],
    ['the node stops', (services: TestServices) => services.sessions.close('the node stops'), status.UNAVAILABLE],
  ])(
    'gets all results that it has waited for after its last request, also when %s meanwhile',
    async (_name, act, code) => {
      const node = new FakeNode()
      await using services = await startServices(node)
      const talk = await deafTalk(services.kv)
      let ended = 0
      const original = node.get.bind(node)
      node.get = async (key, options) => {
        const record = await original(key, options)
        ended++
        return record
      }
      const count = 6
      talk.send(Array.from({ length: count }, (_, i) => get(i + 1, 'big')))
      talk.stream.end()
      await eventually('all are answered', () => ended === count)
      // What was written has begun to wait for the client, and the end of its requests has been seen.
      for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
      act(services)
      talk.stream.resume()
      let ending: number | undefined
      talk.stream.on('status', (told) => {
        ending = told.code
      })
      await eventually('it has ended', () => ending !== undefined)
      expect([talk.results.size, ending]).toEqual([count + 1, code])
    },
  )

  it('gets no more values than the limit; the rest is overloaded, and writes are not said to have failed', async () => {
    const node = new FakeNode()
    await using services = await startServices(node)
    const talk = await deafTalk(services.kv)
    const count = 200
    const previous: Operation = {
      id: count + 1,
      timeoutMs: 0,
      ...bare,
      request: {
        $case: 'put',
        value: { key: Buffer.from('big'), value: large, consistency, returnPrevious: true, ttlMs: undefined },
      },
    }
    // In one message: nothing is paused before all of it has been started.
    talk.send([...Array.from({ length: count }, (_, i) => get(i + 1, 'big')), previous])
    await eventually('the write has happened', () => (node.records.get('big')?.lo ?? 0) % 65_536 === 2)
    talk.stream.resume()
    await eventually('every operation is answered', () => talk.results.size === count + 2)
    const values = [...talk.results.values()].filter((outcome) => outcome?.$case === 'get')
    // What is around each of them is less than one more value.
    expect(values.length).toBe(Math.floor(limits.sessionResultBytesMax / large.length))
    expect((await talk.errorOf(count)).slice(0, 2)).toEqual([ErrorCode.OVERLOADED, WriteOutcome.UNSPECIFIED])
    expect((await talk.errorOf(count + 1)).slice(0, 2)).toEqual([ErrorCode.OVERLOADED, WriteOutcome.UNKNOWN])
    talk.stream.cancel()
  })
})

import { once } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { GetRequest, GetResponse, type GetResponse as Got } from '@quorumkv/proto/kv/v1/kv'
import { describe, expect, it } from 'vitest'
import { FakeNode } from '../calls/fake-node.test-support.js'
import { kvDefinition } from '../calls/kv-definition.js'
import { eventually, openAccess, startServices } from '../calls/services.test-support.js'
import { AnswerTurns } from './answer-turns.js'
import { framed, RawHttp2 } from './raw-http2.test-support.js'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Calls that read, and what has been made for which of them. */
class Calls {
  readonly turns: AnswerTurns = new AnswerTurns(100)
  readonly begun: string[] = []
  readonly done: string[] = []

  /** `bytes` are read within a few promises, and made into an answer. */
  ask(address: string, bytes: number): void {
    const run = async (): Promise<void> => {
      this.begun.push(address)
      for (let i = 0; i < 5; i++) await Promise.resolve()
      this.turns.answer(
        () => address,
        () => {
          this.turns.made(bytes)
          this.done.push(address)
        },
      )
    }
    this.turns.read(
      () => address,
      () => void run(),
    )
  }
}

/** What is in use when nothing is left over. */
function usedBytes(): number {
  setFlagsFromString('--expose-gc')
  ;(runInNewContext('gc') as () => void)()
  return process.memoryUsage().heapUsed
}

describe('answers', () => {
  it('leave nothing behind, also where somebody of the address waits all the time', async () => {
    const turns = new AnswerTurns(1)
    const rounds = 80_000
    let left = rounds
    let done: (() => void) | undefined
    const ended = new Promise<void>((resolve) => {
      done = resolve
    })
    let grownBytes = 0
    const address = (): string => 'a'
    let before = 0
    const run = (): void => {
      left--
      if (left > 0) turns.read(address, run)
      else if (left === 0) {
        // One still waits.
        grownBytes = usedBytes() - before
        done!()
      }
    }
    turns.made(1)
    turns.read(address, run)
    turns.read(address, run)
    before = usedBytes()
    await ended
    expect(grownBytes).toBeLessThan(rounds * 4)
  })

  it.each([
    [99, 1],
    [100, 0],
    [101, 0],
  ])('of which %s of 100 bytes have been made leave room for %s more in a turn', async (bytes, more) => {
    const { turns } = new Calls()
    turns.made(bytes)
    let ran = 0
    const run = (): void => void ran++
    turns.answer(() => 'a', run)
    turns.read(() => 'a', run)
    expect(ran).toBe(2 * more)
    await turn()
    expect(ran).toBe(2)
  })

  it('are made no more in a turn than fit into it, however many reads come at one time', async () => {
    const calls = new Calls()
    for (let i = 0; i < 20; i++) calls.ask('1', 50)
    expect(calls.begun).toHaveLength(4)
    const counts: number[] = []
    for (let i = 0; i < 40 && counts.at(-1) !== 20; i++) {
      await turn()
      counts.push(calls.done.length)
      // Nothing is read for which there is no room.
      expect(calls.begun.length - calls.done.length).toBeLessThanOrEqual(3)
    }
    expect(counts.at(-1)).toBe(20)
    // Those that began when they came, and those of the turn.
    expect(counts.every((count, i) => count - (counts[i - 1] ?? 0) <= 4)).toBe(true)
  })

  it('wait for nothing where little is read', async () => {
    const calls = new Calls()
    for (let i = 0; i < 99; i++) calls.ask('1', 1)
    await turn()
    await turn()
    expect(calls.done).toHaveLength(99)
  })

  it('are made by turns for the addresses that wait', async () => {
    const calls = new Calls()
    calls.turns.made(100)
    for (let i = 0; i < 4; i++) calls.ask('much', 60)
    calls.ask('little', 60)
    calls.ask('other', 60)
    calls.ask('other', 60)
    for (let i = 0; i < 20; i++) await turn()
    expect(calls.done).toEqual(['much', 'little', 'other', 'much', 'other', 'much', 'much'])
  })
})

it('a caller is answered before all that another has asked for in one piece', async () => {
  const node = new FakeNode()
  const key = Buffer.from('k')
  await node.put(key, Buffer.alloc(1_000_000), { consistency: 'quorum', deadlineMs: Number.POSITIVE_INFINITY })
  await using services = await startServices(node, () => openAccess, { answerTurnBytesMax: 1_000_000 })
  // One's own calls are answered in their order, so the two have addresses of their own.
  using greedy = new RawHttp2(services.address, '127.0.0.2')
  using other = new RawHttp2(services.address, '127.0.0.3')
  for (const { session } of [greedy, other]) {
    if (session.remoteSettings === undefined || session.connecting) await once(session, 'remoteSettings')
  }
  const read: string[] = []
  const get = node.get.bind(node)
  node.get = (of, options) => {
    read.push(of.toString())
    return get(of, options)
  }
  const ask = (raw: RawHttp2, of: string): void => {
    const call = raw.call('Get')
    call.resume().end(framed(GetRequest.encode({ key: Buffer.from(of), consistency: 0 }).finish()))
  }
  const asked = 40
  for (let i = 0; i < asked; i++) ask(greedy, 'k')
  ask(other, 'q')
  await eventually('all are answered', () => read.length === asked + 1)
  expect(read.indexOf('q')).toBeLessThan(asked)
})

describe('an answer to a get', () => {
  const version = { hlc: 0x1234_5678_9abc_def0n, node: 7 }
  it.each([0, 1, 127, 128, 16_383, 16_384, 16_385, 1_048_576])('reads the same with a value of %s bytes', (size) => {
    for (const expiresAtMs of [0n, 1_900_000_000_000n]) {
      const message: Got = { found: true, value: Buffer.alloc(size, 'v'), version, expiresAtMs }
      const bytes = kvDefinition['get']?.responseSerialize(message)
      const read = GetResponse.decode(bytes ?? new Uint8Array())
      expect({ ...read, value: read.value.equals(message.value) }).toEqual({ ...message, value: true })
    }
  })
})

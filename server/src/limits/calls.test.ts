import { EventEmitter } from 'node:events'
import { type ClientReadableStream, Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { limits } from '@quorumkv/internal/base'
import type { ScanPage } from '@quorumkv/internal/replication'
import { type ScanResponse, SessionRequest } from '@quorumkv/proto/kv/v1/kv'
import { expect, it } from 'vitest'
import { FakeNode } from '../calls/fake-node.test-support.js'
import { eventually, startServices } from '../calls/services.test-support.js'
import type { SessionCall } from '../session/session.js'

/** A caller of a session who says nothing. */
class QuietCall extends EventEmitter {
  readonly metadata = new Metadata()
  sendMetadata(): void {}
}

/** How a stream ended; undefined while it has not. */
function endOf(stream: EventEmitter): { code: status | undefined } {
  const end: { code: status | undefined } = { code: undefined }
  stream.on('error', ({ code }: ServiceError) => {
    end.code = code
  })
  return end
}

const oneGet = SessionRequest.encode({
  observedHlc: 0n,
  operations: [
    {
      id: 1,
      timeoutMs: 0,
      request: { $case: 'get', value: { key: Buffer.from('k'), consistency: 0 } },
      stampAboveMs: 0n,
      stampLimitMs: 0n,
      traceparent: '',
    },
  ],
  cancelled: [],
}).finish()

it('sessions are opened up to the limit; one more takes the place of who has asked nothing for longest, or is overloaded', async () => {
  const node = new FakeNode()
  node.held = []
  await using services = await startServices(node)
  const { sessions, kv } = services
  const quiet = Array.from({ length: limits.sessionsMax - 1 }, () => new QuietCall())
  for (const call of quiet) {
    sessions.serve(call as unknown as SessionCall)
    call.emit('data', Buffer.from(oneGet))
  }
  const last = kv.session()
  const lastEnd = endOf(last)
  await eventually('it is open', () => sessions.size === limits.sessionsMax)
  const next = kv.session()
  const nextEnd = endOf(next)
  next.write({ observedHlc: 0n, operations: SessionRequest.decode(oneGet).operations, cancelled: [] })
  await eventually('it has the place of the one that is idle', () => lastEnd.code === status.UNAVAILABLE)
  await eventually('it is busy', () => node.held?.length === limits.sessionsMax)
  const more = endOf(kv.session())
  await eventually('one more is refused', () => more.code !== undefined)
  expect([more.code, nextEnd.code, sessions.size]).toEqual([status.RESOURCE_EXHAUSTED, undefined, limits.sessionsMax])
  next.cancel()
  for (const call of quiet) call.emit('close')
  await eventually('all are gone', () => sessions.size === 0)
})

it('scans run up to the limit; one more is overloaded, until another has ended', async () => {
  const node = new FakeNode()
  const held: ((page: ScanPage) => void)[] = []
  node.scan = () => new Promise((resolve) => held.push(resolve))
  await using services = await startServices(node)
  const scan = (): ClientReadableStream<ScanResponse> =>
    services.kv.scan({ prefix: Buffer.alloc(0), cursor: Buffer.alloc(0), pageSize: 0, consistency: 0, keysOnly: false })
  const scans = Array.from({ length: limits.scansMax }, scan)
  const ends = scans.map(endOf)
  await eventually('they run', () => held.length === limits.scansMax)
  const more = endOf(scan())
  await eventually('one more is refused', () => more.code !== undefined)
  expect([more.code, held.length, ends.filter(({ code }) => code !== undefined).length]).toEqual([
    status.RESOURCE_EXHAUSTED,
    limits.scansMax,
    0,
  ])
  scans[0]!.resume()
  held[0]!({ records: [], cursor: Buffer.alloc(0) })
  await new Promise((resolve) => scans[0]!.once('end', resolve))
  const next = scan()
  endOf(next)
  await eventually('it has the place', () => held.length === limits.scansMax + 1)
  for (const stream of [...scans, next]) stream.cancel()
})

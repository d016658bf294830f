import { PeerMessage, ReadStatus } from '@quorumkv/proto/kv/peer/v1/messages'
import { expect, test } from 'vitest'
import { limits } from '../../base/index.js'
import { silentLog } from '../../env/index.js'
import { zeroVersion } from '../../hlc/index.js'
import { slotOf } from '../../slots/index.js'
import type { Store } from '../../store/index.js'
import type { Routing } from '../operations/routing.js'
import { ScanSlices } from '../operations/scan-slices.js'
import { emptyPeerMessage } from '../replicas/message-codec.js'
import { PeerLink } from '../replicas/peer-link.js'
import { ManualClock, Wire } from '../replication.test-support.js'
import { ComparableStore } from './comparison.test-support.js'
import { FloorServer } from './floor-server.js'
import { Horizon } from './horizon.js'

const slot = slotOf(Buffer.from('k'))

function serving() {
  const clock = new ManualClock()
  const wire = new Wire()
  const link = new PeerLink(wire, clock, { hlc: () => zeroVersion, epoch: () => 1 }, { message() {}, close() {} })
  const store = new ComparableStore()
  const slices = new ScanSlices(clock)
  const play = {
    store,
    slices,
    readingMs: 1_000,
    moving: false,
    ask(count: number): void {
      const floorRequests = Array.from({ length: count }, (_, i) => ({
        id: i + 1,
        slot,
        agreedMs: 0,
        candidateMs: 900,
      }))
      server.serve({ ...emptyPeerMessage(), floorRequests }, link)
    },
    raise(floorMs: number): void {
      server.serve({ ...emptyPeerMessage(), floorRaises: [{ slot, floorMs }] }, link)
    },
    async replies() {
      for (let turn = 0; turn < 5; turn++) {
        await new Promise((resolve) => setImmediate(resolve))
        clock.advance(0)
      }
      return wire.sent.splice(0).flatMap((bytes) => PeerMessage.decode(bytes).floorReplies)
    },
  }
  const horizon = new Horizon(() => play.readingMs, 50)
  const routing = (): Routing => ({ slots: { [slot]: { moves: play.moving } } }) as unknown as Routing
  const server = new FloorServer(store as unknown as Store, horizon, slices, silentLog, routing)
  return play
}

test('of more questions than may wait the rest is refused at once, however many come in one message', async () => {
  const play = serving()
  play.ask(limits.antiEntropyScansMax + 3)
  play.ask(1)
  const replies = await play.replies()
  const refused = replies.filter(({ status }) => status === ReadStatus.OVERLOADED)
  expect([replies.length, refused.length]).toEqual([limits.antiEntropyScansMax + 4, 4])
  play.ask(1)
  expect((await play.replies()).map(({ status }) => status)).toEqual([ReadStatus.RECORD])
})

test('what others want gone through counts as well', async () => {
  const play = serving()
  for (let i = 0; i < limits.antiEntropyScansMax; i++) play.slices.add(() => undefined)
  play.ask(1)
  expect((await play.replies()).map(({ status }) => status)).toEqual([ReadStatus.OVERLOADED])
})

test('a horizon that rises while an answer waits for its turn is not in it: what it let in until then may not be either', async () => {
  const play = serving()
  play.ask(1)
  play.readingMs = 1_100
  const [reply] = await play.replies()
  expect(reply!.horizonMs).toBe(950)
})

test('a floor above the horizon is not raised, nor one of a lost slot', async () => {
  const play = serving()
  play.raise(951)
  play.store.lost.add(slot)
  play.raise(940)
  await play.replies()
  expect(play.store.floorMs(slot)).toBe(0)
  play.store.lost.clear()
  play.raise(950)
  await play.replies()
  expect(play.store.floorMs(slot)).toBe(950)
})

test('a floor that was agreed on before a slot began to move is not raised any more', async () => {
  const play = serving()
  play.moving = true
  play.raise(940)
  await play.replies()
  expect(play.store.floorMs(slot)).toBe(0)
})

import { expect, it } from 'vitest'
import { eventually } from '../calls/services.test-support.js'
import { type Peer, SlowPeers } from './slow-peers.js'

it('who has taken everything since it was last looked at makes nobody wait, and is not cut off for those who do', async () => {
  const peers = new SlowPeers({ stallMs: 60_000, messageMs: 60_000, checkMs: 1 })
  const cut: string[] = []
  let looks = 0
  const waiting = { quick: 10, deaf: 10 }
  const peer = (name: keyof typeof waiting): Peer => ({
    get writableLength() {
      return waiting[name]
    },
    taken: () => {
      looks++
      return 0
    },
    cut: () => void cut.push(name),
  })
  peers.add(peer('quick'))
  peers.add(peer('deaf'))
  await eventually('both have been looked at', () => looks >= 2)
  waiting.quick = 0
  const end = (): boolean => peers.endLongest('room is needed', () => true, 0)
  expect([end(), end(), cut]).toEqual([true, false, ['deaf']])
  peers.stop()
})

import { expect, it } from 'vitest'
import { certificateLines } from './status-text.js'

const dayMs = 86_400_000
const nowMs = 1_800_000_000_000

it('status tells a month before a certificate expires, when it has, and why a new one is not used', () => {
  const expiring = (kind: 'node' | 'authority', leftMs: number) => {
    return { kind, subject: 'CN of it', validFromMs: 0, expiresAtMs: nowMs + leftMs }
  }
  const lines = (certificateProblem: string, ...certificates: ReturnType<typeof expiring>[]) => {
    return certificateLines('n1', { certificates, certificateProblem }, nowMs)
  }
  expect(lines('', expiring('node', 31 * dayMs), expiring('authority', 31 * dayMs))).toEqual([])
  expect(lines('', expiring('node', 2 * dayMs), expiring('authority', 3 * dayMs))).toEqual([
    'the certificate of n1 expires in 2d 0h',
    'an authority that n1 trusts (CN of it) expires in 3d 0h',
  ])
  expect(lines('', expiring('node', -1))).toEqual(['the certificate of n1 has expired'])
  expect(lines('the key is not that of it')).toEqual(['n1 does not use its new certificate: the key is not that of it'])
})

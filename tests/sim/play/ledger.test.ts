import type { Version } from '@quorumkv/internal/hlc'
import { zeroVersion } from '@quorumkv/internal/hlc'
import { expect, test } from 'vitest'
import { Ledger, type Replaced } from './ledger.js'

function version(hi: number): Version {
  return { hi, lo: 0, node: 1 }
}

/** A register to which `v` was written, with a delete behind it whose fate nobody knows. */
function written(): Ledger {
  const ledger = new Ledger(() => 0)
  const call = ledger.history.call('k', 'write', 'v')
  const note = ledger.write('k', 'v')
  ledger.acknowledged(note, version(5), 'n1', undefined)
  call.returned()
  const lost = ledger.history.call('k', 'write')
  ledger.failed(ledger.write('k', undefined), 'unknown')
  lost.failed('unknown')
  return ledger
}

/** A read of the register that returns this, while `held` is the highest version that any node holds. */
function readsAs(ledger: Ledger, value: string | undefined, found: Version | undefined, held?: Version): void {
  const call = ledger.history.call('k', 'read')
  const note = ledger.read('k')
  call.returned(value)
  ledger.found(note, found, () => held)
}

test('a value that is lost is found though a delete of unknown fate would explain it', () => {
  for (const held of [version(5), version(4), zeroVersion]) {
    const ledger = written()
    readsAs(ledger, undefined, undefined, held)
    ledger.checkHistories()
    expect(ledger.violations).toEqual([expect.stringContaining('nobody holds anything newer than the value 5.0.1')])
  }
})

test('a key may be gone where some node has something newer than its value, or nobody can tell', () => {
  for (const held of [version(6), undefined]) {
    const ledger = written()
    readsAs(ledger, undefined, undefined, held)
    ledger.checkHistories()
    expect(ledger.violations).toEqual([])
  }
})

test('a version below one that was acknowledged or read before is found, whatever failed writes would explain', () => {
  const ledger = written()
  for (const value of ['old', 'new']) {
    ledger.history.call('k', 'write', value).failed('unknown')
    ledger.failed(ledger.write('k', value), 'unknown')
  }
  readsAs(ledger, 'new', version(9))
  readsAs(ledger, 'old', version(8))
  ledger.checkHistories()
  expect(ledger.violations).toEqual([expect.stringContaining('8.0.1 was read after 9.0.1')])
})

test('a read that began before is not held to what was acknowledged or read while it ran', () => {
  const ledger = written()
  const early = ledger.read('k')
  readsAs(ledger, 'newer', version(9))
  ledger.found(early, version(5), () => undefined)
  expect(ledger.violations).toEqual([])
})

/** A put behind what `written` left, that says this of what it replaced. */
function replacing(ledger: Ledger, told: Partial<Replaced>): readonly string[] {
  const note = ledger.write('k', 'last')
  ledger.acknowledged(note, version(20), 'n1', undefined)
  ledger.replaced(note, { known: true, existed: false, previous: undefined, repeated: false, ...told })
  return ledger.violations
}

/** A register in which `u`, whose fate nobody knows, is older than `v`, and `w` is newer; `w` has been read. */
function readBehind(): Ledger {
  const ledger = new Ledger(() => 0)
  for (const value of ['u', 'w']) ledger.failed(ledger.write('k', value), 'unknown')
  ledger.acknowledged(ledger.write('k', 'v'), version(5), 'n1', undefined)
  ledger.found(ledger.read('k'), version(9), () => undefined)
  return ledger
}

test('a write that says it replaced nothing, or an older value than was acknowledged or read, is found', () => {
  for (const [value, at] of [
    ['u', 3],
    ['v', 5],
  ] as const) {
    const told = { existed: true, previous: { value, version: version(at) } }
    expect(replacing(readBehind(), told)).toEqual([
      expect.stringContaining('newer write had been acknowledged or read'),
    ])
  }
  expect(replacing(readBehind(), {})).toEqual([expect.stringContaining('though the key was there')])
  expect(replacing(readBehind(), { existed: true, previous: { value: 'w', version: version(9) } })).toEqual([])
})

test('a write may say that it does not know what it replaced, and then says nothing else', () => {
  expect(replacing(readBehind(), { known: false })).toEqual([])
  expect(replacing(readBehind(), { known: false, existed: true })).toEqual([expect.stringContaining('not known')])
})

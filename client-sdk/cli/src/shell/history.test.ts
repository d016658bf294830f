import {
  chmodSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { limits } from '../limits.js'
import { History } from './history.js'

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quorumkv-history-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

it('lines that would move the cursor or retitle the terminal when they are shown again are left out', () => {
  const path = join(folder, 'history')
  writeFileSync(path, 'get a\nget \x1b]0;title\x07\nget \u009b2J\nget \u202eb\r\nput\tb 1\r\nget b\n')
  expect(new History({ KVCLI_HISTFILE: path }).lines).toEqual(['get b', 'put\tb 1', 'get a'])
  const history = new History({ KVCLI_HISTFILE: path })
  history.add('get \u009b2J')
  expect(readFileSync(path, 'utf8').match(/2J/g)).toHaveLength(1)
})

it('a link to a device leaves the device as everybody needs it, and keeps nothing', () => {
  const { mode } = statSync('/dev/null')
  const path = join(folder, 'history')
  symlinkSync('/dev/null', path)
  try {
    const history = new History({ KVCLI_HISTFILE: path })
    history.add('get a')
    expect(history).toMatchObject({ lines: [], obstacle: undefined })
    expect(statSync('/dev/null').mode).toBe(mode)
  } finally {
    if (statSync('/dev/null').mode !== mode) chmodSync('/dev/null', mode)
  }
})

it('a link to a file stays one when the file has grown and is cut', () => {
  const [path, file] = [join(folder, 'history'), join(folder, 'file')]
  const lines = Array.from({ length: limits.shellHistoryLinesMax * 2 + 1 }, (_, i) => `get ${i}`)
  writeFileSync(file, `${lines.join('\n')}\n`)
  symlinkSync(file, path)
  expect(new History({ KVCLI_HISTFILE: path }).lines).toHaveLength(limits.shellHistoryLinesMax)
  expect(readlinkSync(path)).toBe(file)
  expect(readFileSync(file, 'utf8').trim().split('\n')).toEqual(lines.slice(-limits.shellHistoryLinesMax))
})

import { describe, expect, test } from 'vitest'
import type { Action } from './language.js'
import { parsePlay } from './parse.js'

/** What one line behind the beginning of a play means. */
function actionOf(line: string): Action {
  return parsePlay('a.play', `# title\ncluster of 3\n${line}\n`).statements[1]!.action
}

function failureOf(text: string): string {
  try {
    parsePlay('a.play', text)
  } catch (error) {
    return (error as Error).message
  }
  throw new Error('it was read')
}

describe('what lines mean', () => {
  const manner = { level: 'quorum', withinMs: 5_000 }
  const put = { kind: 'put', key: 'color', value: 'red', ttlMs: undefined, returnPrevious: false, ...manner }
  const meanings: [line: string, action: object][] = [
    [
      'alice via n1: put color = red -> ok v1',
      {
        kind: 'ask',
        asked: { client: 'alice', node: 'n1', request: put },
        expected: { kind: 'ok', version: 'v1', replaced: undefined },
      },
    ],
    [
      'a via n1: put color = red for 5s returning previous at all within 200ms -> ok replacing "light red"',
      {
        kind: 'ask',
        asked: {
          client: 'a',
          node: 'n1',
          request: { ...put, ttlMs: 5_000, returnPrevious: true, level: 'all', withinMs: 200 },
        },
        expected: { kind: 'ok', version: undefined, replaced: { value: 'light red' } },
      },
    ],
    [
      'bob via n2: get "a key" at one -> absent',
      {
        kind: 'ask',
        asked: { client: 'bob', node: 'n2', request: { kind: 'get', key: 'a key', ...manner, level: 'one' } },
        expected: { kind: 'absent' },
      },
    ],
    [
      'bob via n2: delete k -> error timeout|unavailable unknown',
      {
        kind: 'ask',
        asked: { client: 'bob', node: 'n2', request: { kind: 'delete', key: 'k', ...manner } },
        expected: { kind: 'error', codes: ['timeout', 'unavailable'], outcome: 'unknown' },
      },
    ],
    [
      'bob via n2: scan user -> user1 = a, user2 = "b c"',
      {
        kind: 'ask',
        asked: { client: 'bob', node: 'n2', request: { kind: 'scan', prefix: 'user', ...manner } },
        expected: {
          kind: 'entries',
          entries: new Map([
            ['user1', 'a'],
            ['user2', 'b c'],
          ]),
        },
      },
    ],
    ['after 2m', { kind: 'after', ms: 120_000 }],
    ['partition n1 | n2 n3', { kind: 'partition', groups: [['n1'], ['n2', 'n3']] }],
    ['cut n1 -> n2', { kind: 'cut', from: 'n1', to: 'n2' }],
    ['cut the power of n2', { kind: 'power', node: 'n2', tearing: false }],
    ['delay n3 by 2s', { kind: 'delay', from: undefined, to: 'n3', ms: 2_000 }],
    ['delay n1 -> n3 by 5ms', { kind: 'delay', from: 'n1', to: 'n3', ms: 5 }],
    ['clock of n2 is off by -4s', { kind: 'clock', node: 'n2', skewMs: -4_000 }],
    ['start n2 without waiting', { kind: 'start', node: 'n2', wait: false }],
    [
      'until n1 gets write-reply of color from n2',
      { kind: 'until', arrived: true, pattern: { message: 'write-reply', key: 'color', from: 'n2', to: 'n1' } },
    ],
    [
      'hold the next write from n1 to n2',
      { kind: 'intercept', how: 'hold', pattern: { message: 'write', key: undefined, from: 'n1', to: 'n2' } },
    ],
    [
      'eventually within 5s: on disk of n3: color is deleted v2',
      {
        kind: 'eventually',
        withinMs: 5_000,
        check: { kind: 'disk', node: 'n3', key: 'color', held: { kind: 'deleted', version: 'v2' } },
      },
    ],
    ['v1 < v2', { kind: 'check', check: { kind: 'order', lower: 'v1', higher: 'v2' } }],
    [
      'on disk of n1: k is "x" times 3',
      {
        kind: 'check',
        check: { kind: 'disk', node: 'n1', key: 'k', held: { kind: 'value', value: 'xxx', version: undefined } },
      },
    ],
  ]
  test.each(meanings)('%s', (line, action) => {
    expect(actionOf(line)).toEqual(action)
  })

  test('the first comment is the title, and statements know their lines', () => {
    const play = parsePlay('a.play', '\n# A title.\n# More.\n\ncluster of 2 with N=2 and drift=3s\n\n  heal  \n')
    expect(play.title).toBe('A title.')
    expect(play.statements.map(({ line, text }) => [line, text])).toEqual([
      [5, 'cluster of 2 with N=2 and drift=3s'],
      [7, 'heal'],
    ])
    expect(play.statements[0]!.action).toMatchObject({ settings: { nodes: 2, readQuorum: 2, maxClockDriftMs: 3_000 } })
  })
})

describe('what cannot be read is told with file, line and what was expected', () => {
  const wrong: [line: string, message: string][] = [
    ['alice via n4: get a -> absent', 'there is no node n4 in a cluster of 3'],
    ['alice via n1: get a', 'expected `->`, the line ends'],
    ['alice via n1: got a -> b', 'expected `put` or `get` or `delete` or `scan`, found `got`'],
    ['alice via n1: put a = b -> red', 'expected `ok` or `error`, found `red`'],
    ['alice via n1: put a = b -> error timeout', 'expected `unknown` or `not-applied`, the line ends'],
    ['alice via n1: get a -> error broken', 'found `broken`'],
    ['alice via n1: get a -> red 1', 'a version is named like `v1`, not `1`'],
    ['alice via n1: get a -> pending it', 'a version is named like `v1`, not `it`'],
    ['alice via n1: get "a -> red', 'a quote is not closed'],
    ['after 5', 'expected a duration like `200ms`, `5s`, `1m` or `2h`, found `5`'],
    ['clock of n1 is off by 5s', 'expected a duration with a sign, like `+4s`, found `5s`'],
    ['partition n1 n2', 'expected nodes on both sides of `|`, the line ends'],
    ['kill n1 now', 'expected the end of the line, found `now`'],
    ['w1 -> ok', 'nothing was begun as w1'],
    ['begin a via n1: get k as r1', 'r1 is begun, and nobody says what became of it'],
    ['cluster of 3', 'the first statement, and no other, is `cluster of …`'],
    ['drive of n1 is broken', 'expected `is full`, `has room`'],
    ['n1 dances', 'expected `sees`, `ended as` or `says`, found `dances`'],
    ['everything is fine', 'expected a statement, found `everything`'],
    ['eventually within 5s: a via n1: put k = v -> ok', 'only `get` and `scan` may be asked again and again'],
  ]
  test.each(wrong)('%s', (line, message) => {
    const found = failureOf(`# title\ncluster of 3\n${line}\n`)
    expect(found).toMatch(/^a\.play:3: /)
    expect(found).toContain(message)
  })

  test.each([
    ['heal', 'a.play:1: a play begins with a comment that says what it shows'],
    ['# title\nheal', 'a.play:2: the first statement is `cluster of …`'],
    ['# title\n', 'a.play:1: there is nothing in this play'],
    ['# title\ncluster of 12', 'a.play:2: a cluster has 1 to 9 nodes, not 12'],
  ])('%j', (text, message) => {
    expect(failureOf(text)).toBe(message)
  })
})

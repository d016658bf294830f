import { describe, expect, test } from 'vitest'
import { parsePlay } from './parse.js'
import { PlayFailure, perform } from './stage.js'

async function failureOf(lines: string): Promise<PlayFailure> {
  try {
    await perform(parsePlay('a.play', `# title\ncluster of 3\n${lines}`), '1')
  } catch (error) {
    expect(error).toBeInstanceOf(PlayFailure)
    return error as PlayFailure
  }
  throw new Error('the play went through')
}

describe('a play that says what does not happen fails at that line', () => {
  const wrong: [lines: string, line: number, found: RegExp][] = [
    ['a via n1: put k = red -> ok\na via n2: get k -> blue', 4, /found: red /],
    ['a via n1: put k = red -> ok\na via n2: get k -> absent', 4, /found: red /],
    ['a via n1: put k = red -> ok v1\na via n1: put k = blue -> ok v1', 4, /found: ok .* replacing something/],
    ['a via n1: put k = red -> ok v1\na via n1: put k = blue -> ok v2\nv2 < v1', 5, /found: .* and /],
    ['v1 < v2', 3, /found: nobody has seen both of them yet/],
    ['a via n1: put k = red -> ok replacing something', 3, /found: ok .* replacing nothing/],
    ['a via n1: put k = red -> error unavailable unknown', 3, /found: ok /],
    ['a via n1: scan -> k = v', 3, /found: nothing/],
    [
      'kill n2\nkill n3\nafter 5s\na via n1: put k = red -> error unavailable unknown',
      6,
      /error unavailable not-applied/,
    ],
    ['a via n1: put k = red at all -> ok\non disk of n3: k is blue', 4, /found: red /],
    ['a via n1: put k = red at all -> ok\non disk of n3: k is deleted', 4, /found: red /],
    ['on disk of n3: k is red', 3, /found: absent/],
    ['kill n3\non disk of n3: k is red', 4, /found: n3 was not started/],
    ['n1 sees n2 down', 3, /found: alive/],
    ['n1 ended as corrupt', 3, /found: it runs/],
    ['n1 says "nonsense"', 3, /found: only: .*opened the store/],
    ['hints for n3 on n1: some', 3, /found: 0 are kept/],
    ['slots lost on n1: all', 3, /found: 0 are lost/],
    ['eventually within 2s: on disk of n1: k is red', 3, /found: absent .*within 2000 ms/],
    ['eventually within 1s: a via n1: get k -> red', 3, /found: absent/],
    ['begin a via n1: put k = red as w1\nafter 1s\nw1 -> pending\nw1 -> ok', 5, /found: ok /],
    ['wipe n1', 3, /n1 runs; its disk is in use/],
    ['kill n1\nput the copy back on n1', 4, /nobody has copied the disk of n1/],
    ['start n1', 3, /found|n1 runs already/],
    [
      'drive of n1 fails the next sync\na via n1: put k = v -> error unavailable unknown',
      4,
      /nobody expected that n1 ended/,
    ],
    ['lose the next write of other from n1 to n2\na via n1: put k = v -> ok', 4, /no write went from n1 to n2/],
  ]
  test.each(wrong)('%j', async (lines, line, found) => {
    const failure = await failureOf(lines)
    expect(failure.line).toBe(line)
    expect(failure.message).toMatch(found)
    const text = `cluster of 3\n${lines}`.split('\n')[line - 2]
    expect(failure.message.startsWith(`a.play:${line}: ${text}\n`)).toBe(true)
  })
})

test('the transcript of a failure shows every message with sender, receiver, kind and key, in order', async () => {
  const { message } = await failureOf('cut n1 -> n3\na via n1: put color = red -> ok v1\na via n2: get color -> blue')
  const shown = message.slice(message.indexOf('What happened'))
  const order = [
    'the cluster has formed',
    '--- 4: a via n1: put color = red -> ok v1',
    'n1 -> n2  write color = red (',
    'n2 <- n1  write color = red (',
    'n2 -> n1  write-reply color applied',
    'n1 <- n2  write-reply color applied',
    'a is told: ok ',
    '--- 5: a via n2: get color -> blue',
    'a is told: red v1',
  ]
  let at = 0
  for (const line of order) {
    const next = shown.indexOf(line, at)
    expect(next, line).toBeGreaterThan(at)
    at = next
  }
  expect(shown).not.toContain('n3 <- n1  write color')
})

test('one seed is one performance; another seed is another', async () => {
  const play = parsePlay('a.play', '# title\ncluster of 3\na via n1: put k = red -> ok\na via n2: get k -> red')
  expect(await perform(play, '1')).toBe(await perform(play, '1'))
  expect(await perform(play, '2')).not.toBe(await perform(play, '1'))
})

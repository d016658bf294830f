import { FatalError } from '@quorumkv/internal/base'
import { expect, test } from 'vitest'
import { parseAuthFile } from './auth-file.js'

function refusalOf(text: string): unknown {
  try {
    return parseAuthFile(text, 'auth.yaml')
  } catch (error) {
    return error
  }
}

test('aliases that cannot be used are refused, without a word of what stands there', () => {
  const many = Array.from({ length: 20 }, (_, i) => `a${i + 1}: &a${i + 1} [*a${i}, *a${i}, *a${i}]`).join('\n')
  for (const text of ['*secret', 'principals: [*secret]\n', `a0: &a0 [x]\n${many}\n`]) {
    const refusal = refusalOf(text)
    expect(refusal).toBeInstanceOf(FatalError)
    expect(refusal).toMatchObject({ reason: 'usage', message: expect.stringMatching(/^auth\.yaml: /) })
    expect((refusal as Error).message).not.toContain('secret')
    expect((refusal as Error).cause).toBeUndefined()
  }
})

test('a file that is nested thousands deep is refused: a node that reads it again goes on', () => {
  for (const open of ['[', '{a: ', '- ', '? ']) {
    expect(refusalOf(open.repeat(9_000))).toMatchObject({ reason: 'usage', message: expect.stringContaining('nested') })
  }
})

test('brackets that close nothing are refused, and do not make room for as many to open', () => {
  for (const text of [`principals: []${']'.repeat(9_000)}`, `${']'.repeat(9_000)}${'['.repeat(9_000)}`])
    expect(refusalOf(text)).toMatchObject({ reason: 'usage', message: expect.stringContaining('never opened') })
})

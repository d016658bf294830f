import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { mutants, mutantsElsewhere } from './sim/mutants/mutants.js'

/*
 * ARCHITECTURE.md says by what each promise is kept and shown. What it names must exist: files by their paths,
 * assertions and tests by their text in the file named before them, mutants by their names.
 */

const root = fileURLToPath(new URL('..', import.meta.url))

interface Promised {
  readonly name: string
  readonly rows: ReadonlyMap<string, string>
}

function promisesIn(text: string): Promised[] {
  const section = /^## Promises$([\s\S]*?)(?=^## |$(?![\s\S]))/m.exec(text)?.[1] ?? ''
  return section
    .split(/^### /m)
    .slice(1)
    .map((part) => {
      const rows = [...part.matchAll(/^\| ([a-z][a-z ]*) \| (.*) \|$/gm)].map(([, row, text]) => [row!, text!] as const)
      return { name: part.slice(0, part.indexOf('\n')), rows: new Map(rows) }
    })
}

/** What is named and does not exist. */
function missing(row: string, text: string): string[] {
  const found: string[] = []
  let path = ''
  for (const [, code, quote] of text.matchAll(/`([^`]+)`|“([^”]+)”/g)) {
    if (quote !== undefined) {
      if (path === '' || !readFileSync(`${root}/${path}`, 'utf8').includes(quote)) found.push(`“${quote}” in ${path}`)
    } else if (row === 'mutants') {
      if (![...mutants, ...mutantsElsewhere].some(({ name }) => name === code)) found.push(`mutant ${code}`)
    } else {
      path = code!
      if (!existsSync(`${root}/${path}`)) {
        found.push(path)
        path = ''
      }
    }
  }
  return found
}

const promises = promisesIn(readFileSync(`${root}/ARCHITECTURE.md`, 'utf8'))
const rowNames = ['kept by', 'assert', 'tests', 'plays', 'mutants']

test('there are nine promises', () => {
  expect(promises.map(({ name }) => name.slice(0, 3))).toEqual(Array.from({ length: 9 }, (_, i) => `P${i + 1} `))
})

describe.each(promises)('$name', ({ rows }) => {
  test('is shown by tests, and nothing is left out', () => {
    expect([...rows.keys()]).toEqual(rowNames)
    expect(rows.get('kept by')).toMatch(/`/)
    expect(rows.get('tests')).toMatch(/“/)
    for (const text of rows.values()) expect(text === 'none' || text.includes('`'), text).toBe(true)
  })

  test('all that is named for it exists', () => {
    expect([...rows].flatMap(([row, text]) => missing(row, text))).toEqual([])
  })
})

test('what does not exist is found', () => {
  expect(missing('tests', '`tests/promises.test.ts` “what does not exist is found”')).toEqual([])
  expect(missing('tests', '`tests/nowhere.test.ts` “it”')).toEqual(['tests/nowhere.test.ts', '“it” in '])
  expect(missing('tests', `\`tests/promises.test.ts\` “no ${'such'} test”`)).toHaveLength(1)
  expect(missing('mutants', '`no-write-back`, `no-such-mutant`')).toEqual(['mutant no-such-mutant'])
})

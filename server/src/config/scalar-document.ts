import { FatalError } from '@quorumkv/internal/base'
import { type Document, isNode, isScalar, Lexer, parseDocument, visit } from 'yaml'

/** Of a file of settings, and of one of as many principals as there may be. The library says a word on each that is wrong. */
const linesMax = 10_000

/** No setting is nested deeper than in a list, which may be in a document of its own. */
const nestingMax = 16

/**
 * The library descends by recursion, and where its stack does not suffice Node ends the process: thousands of opening brackets
 * are enough. So what opens is counted before, by the library's own lexer, which does not recurse.
 */
function checkNesting(text: string, path: string): void {
  let brackets = 0
  let onLine = 0
  for (const token of new Lexer().lex(text)) {
    if (token === '[' || token === '{') brackets++
    else if (token === ']' || token === '}') brackets--
    else if (token === ',' || token === '\n' || token === '\r\n') onLine = 0
    // Lists of lists, keys that are maps, and what is said of a value: all of them may open many on one line.
    else if (token === '-' || token === '?' || token === ':' || /^[&!]/.test(token)) onLine++
    // Below zero, as many more could be opened; and the library says a word on each, which takes seconds.
    if (brackets < 0) throw new FatalError('usage', `${path}: closes a bracket that was never opened`)
    if (brackets > nestingMax || onLine > nestingMax) {
      throw new FatalError('usage', `${path}: is nested more than ${nestingMax} deep`)
    }
  }
}

/**
 * The document of a file that people write: every scalar is the text that stands there. Throws FatalError `usage` for what is
 * nested deep, and for a key that a map has twice: the library compares each with all others, which takes seconds.
 */
export function parseScalars(text: string, path: string): Document.Parsed {
  if (text.split('\n', linesMax + 1).length > linesMax) {
    throw new FatalError('usage', `${path}: has more than ${linesMax} lines`)
  }
  checkNesting(text, path)
  const document = parseDocument(text, { schema: 'failsafe', uniqueKeys: false })
  visit(document, {
    Map(_, { items }) {
      const seen = new Set<unknown>()
      for (const { key } of items) {
        const name = isScalar(key) ? key.value : key
        if (seen.has(name)) {
          const line = text.slice(0, isNode(key) ? key.range?.[0] : 0).split('\n').length
          throw new FatalError('usage', `${path}: line ${line}: this key is there already`)
        }
        seen.add(name)
      }
    },
  })
  return document
}

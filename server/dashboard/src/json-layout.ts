/*
 * JSON laid out anew, token by token. To parse and write it again would be shorter, and would change numbers that JavaScript
 * cannot hold, keys that come twice, and escapes.
 */

/** Strings as they are, and everything else without white space. */
function tokens(json: string): string[] {
  return json.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) ?? []
}

/** Without white space. The text must be valid JSON. */
export function compactJson(json: string): string {
  return tokens(json).join('')
}

/** With a line for each member, for reading. The text must be valid JSON. */
export function layOutJson(json: string): string {
  const all = tokens(json)
  let text = ''
  let depth = 0
  const line = (): string => `\n${'  '.repeat(depth)}`
  for (const [i, token] of all.entries()) {
    if (token === '}' || token === ']') {
      depth--
      text += all[i - 1] === '{' || all[i - 1] === '[' ? token : `${line()}${token}`
    } else if (token === '{' || token === '[') {
      depth++
      const empty = all[i + 1] === '}' || all[i + 1] === ']'
      text += empty ? token : `${token}${line()}`
    } else if (token === ',') text += `,${line()}`
    else text += token === ':' ? ': ' : token
  }
  return text
}

/*
 * As much of Go's text/template, with Helm's functions, as the chart in packaging/helm uses: actions with trim marks, `if`, `with`,
 * `range` (over lists, maps and `$i :=`), `define`, `include`, pipelines, variables that are set once, and the functions named below.
 * What is not known throws. That it renders as Go does was compared once, byte by byte (docs/adr/0050-packaging.md).
 */

type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'output'; readonly pipe: Pipe }
  | { readonly kind: 'if' | 'with'; readonly pipe: Pipe; readonly body: Node[]; readonly otherwise: Node[] }
  | { readonly kind: 'range'; readonly names: string[]; readonly pipe: Pipe; readonly body: Node[] }

/** Commands one behind the other; each gets the result of the one before as its last argument. */
type Pipe = Term[][]
type Term =
  | { readonly kind: 'literal'; readonly value: unknown }
  | { readonly kind: 'path'; readonly from: string; readonly fields: readonly string[] }
  | { readonly kind: 'call'; readonly name: string }
  | { readonly kind: 'group'; readonly pipe: Pipe; readonly fields: readonly string[] }

interface Scope {
  readonly dot: unknown
  readonly variables: Readonly<Record<string, unknown>>
}

type Named = Map<string, Node[]>
type Call = (...given: unknown[]) => unknown

/** What Go holds for true: not false, 0, empty or nothing. */
function truth(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0
  return Boolean(value)
}

/** As Go prints a value: numbers of a file of values are floats to Helm, and large ones get an exponent. */
function print(value: unknown): string {
  if (typeof value !== 'number' || Math.abs(value) < 1e6) return String(value)
  return value.toExponential().replace(/e\+(\d)$/, 'e+0$1')
}

const indent = (spaces: number, text: string): string => text.replace(/^/gm, ' '.repeat(spaces))

/** The functions of Helm that are used, besides `include` and `toYaml`. */
const functions: Readonly<Record<string, Call>> = {
  quote: (value) => JSON.stringify(print(value)),
  toJson: (value) => JSON.stringify(value),
  /** Of the kinds of Go, the one that is asked for. */
  kindIs: (kind, value) => typeof value === kind,
  ternary: (yes, no, test) => (truth(test) ? yes : no),
  upper: (text) => String(text).toUpperCase(),
  add: (...numbers) => numbers.reduce<number>((sum, each) => sum + Number(each), 0),
  index: (map, key) => (map as Record<string, unknown>)[String(key)],
  default: (fallback, value) => (truth(value) ? value : fallback),
  eq: (a, b) => a === b,
  lt: (a, b) => Number(a) < Number(b),
  and: (...all) => all.find((each) => !truth(each)) ?? all.at(-1),
  or: (...all) => all.find(truth) ?? all.at(-1),
  not: (value) => !truth(value),
  int: (value) => Math.trunc(Number(value)),
  until: (count) => Array.from({ length: Number(count) }, (_, i) => i),
  printf: (format, ...given) => String(format).replace(/%s/g, () => print(given.shift())),
  trunc: (length, text) => String(text).slice(0, Number(length)),
  trimSuffix: (suffix, text) =>
    String(text).endsWith(String(suffix)) ? String(text).slice(0, -String(suffix).length) : text,
  contains: (part, text) => String(text).includes(String(part)),
  replace: (from, to, text) => String(text).replaceAll(String(from), String(to)),
  dict: (...given) => Object.fromEntries(given.flatMap((key, i) => (i % 2 === 0 ? [[String(key), given[i + 1]]] : []))),
  nindent: (spaces, text) => `\n${indent(Number(spaces), String(text))}`,
  fail: (message) => {
    throw new Error(String(message))
  },
}

/** The text between actions, and the actions, with white space taken away where `{{-` and `-}}` say so. */
function split(source: string): ({ text: string } | { action: string })[] {
  const parts: ({ text: string } | { action: string })[] = []
  let at = 0
  let trimNext = false
  const addText = (text: string): void => {
    parts.push({ text: trimNext ? text.trimStart() : text })
  }
  for (const match of source.matchAll(/\{\{(-\s)?([\s\S]*?)(\s-)?\}\}/g)) {
    const before = source.slice(at, match.index)
    addText(match[1] === undefined ? before : before.trimEnd())
    trimNext = match[3] !== undefined
    at = match.index + match[0].length
    parts.push({ action: match[2]!.trim() })
  }
  addText(source.slice(at))
  return parts
}

const token = /\s*(?:("(?:[^"\\]|\\.)*"|`[^`]*`)|(\d+)|([$.]?[A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*)|([()|]))/y

/** Reads a pipeline up to its end, or to the bracket that closes it. */
class PipeParser {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text.trim()
  }

  whole(): Pipe {
    const pipe = this.#pipe()
    if (this.#at < this.#text.length) throw new Error(`what is "${this.#text.slice(this.#at)}" in "${this.#text}"?`)
    return pipe
  }

  #pipe(): Pipe {
    const commands: Term[][] = [[]]
    while (this.#at < this.#text.length && this.#text[this.#at] !== ')') {
      if (this.#text[this.#at] === ' ') this.#at++
      else if (this.#text[this.#at] === '|') {
        this.#at++
        commands.push([])
      } else if (this.#text[this.#at] === '(') commands.at(-1)!.push(this.#group())
      else commands.at(-1)!.push(this.#term())
    }
    return commands
  }

  #group(): Term {
    this.#at++
    const pipe = this.#pipe()
    if (this.#text[this.#at++] !== ')') throw new Error(`an open bracket in "${this.#text}"`)
    return { kind: 'group', pipe, fields: [] }
  }

  #term(): Term {
    token.lastIndex = this.#at
    const match = token.exec(this.#text)
    if (match === null || match[0] === '') throw new Error(`what is "${this.#text.slice(this.#at)}"?`)
    this.#at = token.lastIndex
    const [, text, number, word] = match
    if (text !== undefined) return { kind: 'literal', value: text[0] === '`' ? text.slice(1, -1) : JSON.parse(text) }
    if (number !== undefined) return { kind: 'literal', value: Number(number) }
    if (word === 'true' || word === 'false') return { kind: 'literal', value: word === 'true' }
    const fields = word!.split('.')
    if (word!.startsWith('.')) return { kind: 'path', from: '.', fields: fields.filter((field) => field !== '') }
    if (word!.startsWith('$')) return { kind: 'path', from: fields[0]!, fields: fields.slice(1) }
    return { kind: 'call', name: word! }
  }
}

function parse(source: string, named: Named): Node[] {
  const parts = split(source)
  let at = 0
  const block = (ends: readonly string[]): { nodes: Node[]; end: string } => {
    const nodes: Node[] = []
    while (at < parts.length) {
      const part = parts[at++]!
      if ('text' in part) nodes.push({ kind: 'text', text: part.text })
      else if (ends.includes(part.action)) return { nodes, end: part.action }
      else if (!part.action.startsWith('/*')) nodes.push(...action(part.action))
    }
    if (ends.length > 0) throw new Error(`no ${ends.join(' or ')}`)
    return { nodes, end: '' }
  }
  const action = (text: string): Node[] => {
    const [, word, rest] = /^(if|with|range|define|else|end)?\s*([\s\S]*)$/.exec(text)!
    const inner = (): Node[] => block(['end']).nodes
    switch (word) {
      case 'define':
        named.set(JSON.parse(rest!) as string, inner())
        return []
      case 'if':
      case 'with': {
        const { nodes: body, end } = block(['else', 'end'])
        const otherwise = end === 'else' ? inner() : []
        return [{ kind: word, pipe: new PipeParser(rest!).whole(), body, otherwise }]
      }
      case 'range': {
        const [, names, over] = /^(?:((?:\$\w+,?\s*)+):=)?\s*([\s\S]*)$/.exec(rest!)!
        const list = names === undefined ? [] : names.split(',').map((name) => name.trim())
        return [{ kind: 'range', names: list, pipe: new PipeParser(over!).whole(), body: inner() }]
      }
      case undefined:
        return [{ kind: 'output', pipe: new PipeParser(text).whole() }]
      default:
        throw new Error(`"${text}" where nothing is open`)
    }
  }
  return block([]).nodes
}

/** Templates that know each other's definitions. */
export class Templates {
  readonly #named: Named = new Map()
  readonly #functions: Readonly<Record<string, Call>>

  /** `toYaml`: as the writer of YAML that is at hand does it. */
  constructor(toYaml: (value: unknown) => string) {
    this.#functions = {
      ...functions,
      toYaml: (value) => toYaml(value).trimEnd(),
      include: (name, dot) => {
        const nodes = this.#named.get(String(name))
        if (nodes === undefined) throw new Error(`nothing is defined as ${String(name)}`)
        return this.#run(nodes, { dot, variables: { $: dot } })
      },
    }
  }

  /** Takes what a file of definitions defines. */
  define(source: string): void {
    parse(source, this.#named)
  }

  render(source: string, dot: unknown): string {
    return this.#run(parse(source, this.#named), { dot, variables: { $: dot } })
  }

  #run(nodes: readonly Node[], scope: Scope): string {
    return nodes.map((node) => this.#node(node, scope)).join('')
  }

  #node(node: Node, scope: Scope): string {
    if (node.kind === 'text') return node.text
    const value = this.#pipe(node.pipe, scope)
    switch (node.kind) {
      case 'output':
        return value === undefined || value === null ? '' : print(value)
      case 'if':
        return this.#run(truth(value) ? node.body : node.otherwise, scope)
      case 'with':
        return truth(value) ? this.#run(node.body, { ...scope, dot: value }) : this.#run(node.otherwise, scope)
      case 'range':
        return this.#range(node.names, value, node.body, scope)
    }
  }

  /** Maps go by the order of their keys, as in Go. */
  #range(names: readonly string[], value: unknown, body: readonly Node[], scope: Scope): string {
    const entries = Array.isArray(value)
      ? value.map((each, i) => [i, each] as const)
      : Object.entries((value ?? {}) as object).sort(([a], [b]) => (a < b ? -1 : 1))
    return entries
      .map(([key, each]) => {
        const bound =
          names.length === 2 ? { [names[0]!]: key, [names[1]!]: each } : names.length === 1 ? { [names[0]!]: each } : {}
        return this.#run(body, { dot: each, variables: { ...scope.variables, ...bound } })
      })
      .join('')
  }

  #pipe(pipe: Pipe, scope: Scope): unknown {
    let piped: unknown[] = []
    for (const [head, ...rest] of pipe) {
      if (head === undefined) throw new Error('an empty command')
      const given = [...rest.map((term) => this.#term(term, scope)), ...piped]
      if (head.kind === 'call') piped = [this.#function(head.name)(...given)]
      else if (given.length === 0) piped = [this.#term(head, scope)]
      else throw new Error('a value is no function')
    }
    return piped[0]
  }

  #function(name: string): Call {
    const found = this.#functions[name]
    if (found === undefined) throw new Error(`no function ${name}`)
    return found
  }

  #term(term: Term, scope: Scope): unknown {
    switch (term.kind) {
      case 'literal':
        return term.value
      case 'call':
        return this.#function(term.name)()
      case 'group':
        return this.#pipe(term.pipe, scope)
      case 'path': {
        if (term.from !== '.' && !(term.from in scope.variables)) throw new Error(`no variable ${term.from}`)
        const start = term.from === '.' ? scope.dot : scope.variables[term.from]
        return term.fields.reduce<unknown>((value, field) => {
          if (typeof value !== 'object' || value === null) throw new Error(`.${term.fields.join('.')} is not there`)
          return (value as Record<string, unknown>)[field]
        }, start)
      }
    }
  }
}

import type { ErrorCode } from '@quorumkv/internal/base'
import type {
  Action,
  Asked,
  Check,
  ClusterSettings,
  Expectation,
  Held,
  MessagePattern,
  Play,
  Replaced,
  Request,
  Statement,
} from './language.js'
import { Words } from './words.js'

const levels = ['one', 'quorum', 'all'] as const
const codes: readonly ErrorCode[] = [
  'invalid-argument',
  'unavailable',
  'timeout',
  'overloaded',
  'read-only',
  'cancelled',
  'closed',
]
const withinDefaultMs = 5_000
const timesDefault = 3

/** Reads a play. Throws PlaySyntaxError, whose message names file and line. */
export function parsePlay(file: string, text: string): Play {
  return new Parser(file).parse(text)
}

class Parser {
  readonly #file: string
  /** What was begun and not yet looked at, by name, with the kind of its request and where it was begun. */
  readonly #begun = new Map<string, { readonly kind: Request['kind']; readonly line: number; settled: boolean }>()
  #nodes = 0
  #w: Words

  constructor(file: string) {
    this.#file = file
    this.#w = new Words(file, 1, '')
  }

  parse(text: string): Play {
    const statements: Statement[] = []
    let title = ''
    for (const [index, raw] of text.split('\n').entries()) {
      const line = index + 1
      const trimmed = raw.trim()
      if (trimmed.startsWith('#') && title === '') title = trimmed.replace(/^#+\s*/, '')
      if (trimmed === '' || trimmed.startsWith('#')) continue
      this.#w = new Words(this.#file, line, trimmed)
      if (title === '') this.#w.fail('a play begins with a comment that says what it shows')
      const action = this.#statement(line)
      this.#w.end()
      if ((action.kind === 'cluster') !== (statements.length === 0)) {
        this.#w.fail('the first statement, and no other, is `cluster of …`')
      }
      statements.push({ line, text: trimmed, action })
    }
    if (statements.length === 0) this.#w.fail('there is nothing in this play')
    for (const [name, { line, settled }] of this.#begun) {
      if (!settled) new Words(this.#file, line, '').fail(`${name} is begun, and nobody says what became of it`)
    }
    return { file: this.#file, title, statements }
  }

  #statement(line: number): Action {
    const w = this.#w
    if (w.accept('cluster', 'of')) return { kind: 'cluster', settings: this.#settings() }
    if (this.#nodes === 0) w.fail('the first statement is `cluster of …`')
    if (w.accept('begin')) return this.#begin(line)
    if (w.second('via')) return this.#ask()
    if (w.second('->')) return this.#outcome()
    if (w.accept('eventually', 'within')) return this.#eventually()
    return this.#direction() ?? this.#fault() ?? this.#machine() ?? { kind: 'check', check: this.#check() }
  }

  #settings(): ClusterSettings {
    const w = this.#w
    const nodes = w.whole('the number of nodes')
    if (nodes < 1 || nodes > 9) w.fail(`a cluster has 1 to 9 nodes, not ${nodes}`)
    this.#nodes = nodes
    const numbers = { N: Math.min(3, nodes), R: Math.min(2, nodes), W: Math.min(2, nodes) }
    let maxClockDriftMs = 10_000
    let seed: string | undefined
    let times = timesDefault
    while (w.accept('with') || w.accept('and')) {
      const name = w.oneOf(['N', 'R', 'W', 'drift', 'seed', 'times'])
      w.expect('=')
      if (name === 'drift') maxClockDriftMs = w.duration()
      else if (name === 'times') times = w.whole('how often it is performed')
      else if (name === 'seed') seed = w.word('a seed')
      else numbers[name] = w.whole(name)
    }
    const { N: replicationFactor, R: readQuorum, W: writeQuorum } = numbers
    return { nodes, replicationFactor, readQuorum, writeQuorum, maxClockDriftMs, seed, times }
  }

  #asked(): Asked {
    const w = this.#w
    const client = w.word('the name of a client')
    w.expect('via')
    const node = this.#node()
    w.expect(':')
    return { client, node, request: this.#request() }
  }

  #request(): Request {
    const w = this.#w
    const kind = w.oneOf(['put', 'get', 'delete', 'scan'])
    if (kind === 'scan') {
      const plain = w.done || w.ahead('->') || w.ahead('as') || w.ahead('at') || w.ahead('within')
      return { kind, prefix: plain ? '' : w.string('a prefix'), ...this.#manner() }
    }
    const key = w.string('a key')
    if (kind !== 'put') return { kind, key, ...this.#manner() }
    w.expect('=')
    const value = w.string('a value')
    const ttlMs = w.accept('for') ? w.duration() : undefined
    const returnPrevious = w.accept('returning', 'previous')
    return { kind, key, value, ttlMs, returnPrevious, ...this.#manner() }
  }

  #manner(): Pick<Request, 'level' | 'withinMs'> {
    const w = this.#w
    const level = w.accept('at') ? w.oneOf(levels) : 'quorum'
    return { level, withinMs: w.accept('within') ? w.duration() : withinDefaultMs }
  }

  #ask(): Action {
    const asked = this.#asked()
    return { kind: 'ask', asked, expected: this.#answer(asked.request.kind) }
  }

  #begin(line: number): Action {
    const asked = this.#asked()
    this.#w.expect('as')
    const name = this.#w.word('a name for what is begun')
    if (this.#begun.has(name)) this.#w.fail(`${name} was begun in line ${this.#begun.get(name)!.line}`)
    this.#begun.set(name, { kind: asked.request.kind, line, settled: false })
    return { kind: 'begin', asked, name }
  }

  #outcome(): Action {
    const name = this.#w.word('the name of what was begun')
    const begun = this.#begun.get(name)
    if (begun === undefined) return this.#w.fail(`nothing was begun as ${name}`)
    const expected = this.#answer(begun.kind, true)
    if (expected.kind !== 'pending') begun.settled = true
    return { kind: 'outcome', name, expected }
  }

  #answer(kind: Request['kind'], begun = false): Expectation {
    const w = this.#w
    w.expect('->')
    if (begun && w.accept('pending')) return { kind: 'pending' }
    if (w.accept('error')) return this.#error(kind)
    if (kind === 'scan') return this.#entries()
    if (kind === 'get') {
      if (w.accept('absent')) return { kind: 'absent' }
      return { kind: 'value', value: w.string('a value, `absent` or `error`'), version: this.#version() }
    }
    if (!w.accept('ok')) w.wanted('`ok` or `error`')
    const version = this.#version()
    return { kind: 'ok', version, replaced: w.accept('replacing') ? this.#replaced(kind) : undefined }
  }

  #replaced(kind: Request['kind']): Replaced {
    if (this.#w.accept('nothing')) return 'nothing'
    if (this.#w.accept('something')) return 'something'
    if (this.#w.accept('unknown')) return 'unknown'
    if (kind === 'put') return { value: this.#w.string('what it replaced') }
    return this.#w.wanted('`something`, `nothing` or `unknown`')
  }

  #error(kind: Request['kind']): Expectation {
    const w = this.#w
    const found = [w.oneOf(codes)]
    while (w.accept('|')) found.push(w.oneOf(codes))
    const isWrite = kind === 'put' || kind === 'delete'
    const outcome = isWrite ? w.oneOf(['unknown', 'not-applied'] as const) : undefined
    return { kind: 'error', codes: found, outcome }
  }

  #entries(): Expectation {
    const w = this.#w
    const entries = new Map<string, string>()
    if (w.accept('nothing')) return { kind: 'entries', entries }
    do {
      const key = w.string('a key or `nothing`')
      w.expect('=')
      entries.set(key, w.string('a value'))
    } while (w.accept(','))
    return { kind: 'entries', entries }
  }

  /** An optional name of a version: `v` and what follows. */
  #version(): string | undefined {
    const w = this.#w
    if (w.done || w.ahead('replacing')) return undefined
    const name = w.word('a version')
    return /^v\w+$/.test(name) ? name : w.fail(`a version is named like \`v1\`, not \`${name}\``)
  }

  #eventually(): Action {
    const w = this.#w
    const withinMs = w.duration()
    w.expect(':')
    if (!w.second('via')) return { kind: 'eventually', withinMs, check: this.#check() }
    const asked = this.#asked()
    if (asked.request.kind !== 'get' && asked.request.kind !== 'scan') {
      w.fail('only `get` and `scan` may be asked again and again')
    }
    return { kind: 'eventually-ask', withinMs, asked, expected: this.#answer(asked.request.kind) }
  }

  /** Time and messages. */
  #direction(): Action | undefined {
    const w = this.#w
    if (w.accept('after')) return { kind: 'after', ms: w.duration() }
    if (w.accept('until')) {
      const who = this.#node()
      const arrived = w.oneOf(['has', 'gets']) === 'gets'
      if (!arrived) w.expect('sent')
      const { message, key } = this.#message()
      w.expect(arrived ? 'from' : 'to')
      const other = this.#node()
      const [from, to] = arrived ? [other, who] : [who, other]
      return { kind: 'until', arrived, pattern: { message, key, from, to } }
    }
    for (const how of ['lose', 'hold'] as const) {
      if (!w.accept(how, 'the', 'next')) continue
      const { message, key } = this.#message()
      w.expect('from')
      const from = this.#node()
      w.expect('to')
      return { kind: 'intercept', how, pattern: { message, key, from, to: this.#node() } }
    }
    return undefined
  }

  #message(): Pick<MessagePattern, 'message' | 'key'> {
    const message = this.#w.word('a kind of message')
    return { message, key: this.#w.accept('of') ? this.#w.string('a key') : undefined }
  }

  /** What is wrong between nodes. */
  #fault(): Action | undefined {
    const w = this.#w
    if (w.accept('heal')) return { kind: 'heal' }
    if (w.accept('partition')) {
      const groups: string[][] = [[]]
      while (!w.done) {
        if (w.accept('|')) groups.push([])
        else groups.at(-1)!.push(this.#node())
      }
      if (groups.length < 2 || groups.some(({ length }) => length === 0)) w.wanted('nodes on both sides of `|`')
      return { kind: 'partition', groups }
    }
    if (w.accept('cut')) {
      if (w.accept('the', 'power', 'of')) {
        const node = this.#node()
        return { kind: 'power', node, tearing: w.accept('in', 'the', 'middle', 'of', 'a', 'write') }
      }
      const from = this.#node()
      w.expect('->')
      return { kind: 'cut', from, to: this.#node() }
    }
    if (!w.accept('delay')) return undefined
    const first = this.#node()
    const second = w.accept('->') ? this.#node() : undefined
    w.expect('by')
    const ms = w.duration()
    return { kind: 'delay', from: second === undefined ? undefined : first, to: second ?? first, ms }
  }

  /** What is done to one node. */
  #machine(): Action | undefined {
    const w = this.#w
    for (const kind of ['kill', 'stop', 'pause', 'resume', 'wipe'] as const) {
      if (w.accept(kind)) return { kind, node: this.#node() }
    }
    if (w.accept('lose', 'the', 'records', 'of')) return { kind: 'lose-records', node: this.#node() }
    if (w.accept('copy', 'the', 'disk', 'of')) return { kind: 'copy-disk', node: this.#node() }
    if (w.accept('put', 'the', 'copy', 'back', 'on')) return { kind: 'restore-disk', node: this.#node() }
    if (w.accept('start')) {
      const node = this.#node()
      return { kind: 'start', node, wait: !w.accept('without', 'waiting') }
    }
    if (w.accept('clock', 'of')) {
      const node = this.#node()
      w.expect('is')
      if (w.accept('right')) return { kind: 'clock', node, skewMs: 0 }
      w.expect('off', 'by')
      return { kind: 'clock', node, skewMs: w.duration(true) }
    }
    if (!w.accept('drive', 'of')) return undefined
    const node = this.#node()
    if (w.accept('is', 'full')) return { kind: 'drive', node, fault: 'full' }
    if (w.accept('has', 'room')) return { kind: 'drive', node, fault: 'room' }
    if (w.accept('fails', 'the', 'next', 'sync')) return { kind: 'drive', node, fault: 'sync-fails' }
    if (w.accept('is', 'slow', 'by')) return { kind: 'drive-slow', node, ms: w.duration() }
    return w.wanted('`is full`, `has room`, `is slow by …` or `fails the next sync`')
  }

  #check(): Check {
    const w = this.#w
    if (w.accept('on', 'disk', 'of')) {
      const node = this.#node()
      w.expect(':')
      const key = w.string('a key')
      w.expect('is')
      return { kind: 'disk', node, key, held: this.#held() }
    }
    if (w.accept('replicas', 'agree', 'on')) return { kind: 'agree', key: w.string('a key') }
    if (w.accept('all', 'see', 'each', 'other')) return { kind: 'connected' }
    if (w.second('<')) {
      const lower = w.word('a version')
      w.expect('<')
      return { kind: 'order', lower, higher: w.word('a version') }
    }
    if (w.accept('slots', 'lost', 'on')) {
      const node = this.#node()
      w.expect(':')
      if (w.accept('all')) return { kind: 'lost-slots', node, count: 'all' }
      return { kind: 'lost-slots', node, count: w.accept('none') ? 0 : w.whole('`all`, `none` or a count') }
    }
    if (w.accept('hints', 'for')) {
      const owner = this.#node()
      w.expect('on')
      const holder = this.#node()
      w.expect(':')
      if (w.accept('some')) return { kind: 'hints', holder, owner, count: 'some' }
      return { kind: 'hints', holder, owner, count: w.accept('none') ? 0 : w.whole('`some`, `none` or a count') }
    }
    return this.#checkOfNode()
  }

  #checkOfNode(): Check {
    const w = this.#w
    if (!/^n\d$/.test(w.done ? '' : this.#peek())) return w.wanted('a statement')
    const node = this.#node()
    if (w.accept('sees')) {
      const other = this.#node()
      return { kind: 'sees', node, other, liveness: w.oneOf(['alive', 'down'] as const) }
    }
    if (w.accept('ended', 'as')) return { kind: 'ended', node, reason: w.word('a reason') }
    if (w.accept('says')) return { kind: 'says', node, text: w.string('a part of its log') }
    return w.wanted('`sees`, `ended as` or `says`')
  }

  #held(): Held {
    const w = this.#w
    if (w.accept('absent')) return { kind: 'absent' }
    if (w.accept('collected')) return { kind: 'collected' }
    if (w.accept('deleted')) return { kind: 'deleted', version: this.#version() }
    return { kind: 'value', value: w.string('a value, `absent`, `deleted` or `collected`'), version: this.#version() }
  }

  #peek(): string {
    for (let number = 1; number <= 9; number++) if (this.#w.ahead(`n${number}`)) return `n${number}`
    return ''
  }

  #node(): string {
    const name = this.#w.word('a node')
    const number = Number(/^n([1-9])$/.exec(name)?.[1] ?? 0)
    if (number >= 1 && number <= this.#nodes) return name
    return this.#w.fail(`there is no node ${name} in a cluster of ${this.#nodes}`)
  }
}

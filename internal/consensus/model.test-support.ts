import { type AcceptorState, acceptorStep } from './acceptor.js'
import { compareBallots, zeroBallot } from './ballot.js'
import type { RegisterReply, RegisterRequest } from './messages.js'
import { beginRound, majority, type Round, stepRound } from './round.js'

/** A message once sent: it may be delivered any number of times, in any order, or never. */
interface Asked {
  readonly to: number
  readonly request: RegisterRequest<string>
}

interface Answered {
  readonly from: number
  readonly reply: RegisterReply<string>
}

interface Acceptor {
  readonly durable: AcceptorState<string> | undefined
  /** What it answers from; differs from `durable` only where replies do not wait for the disk. */
  readonly memory: AcceptorState<string> | undefined
}

interface Proposer {
  readonly round: Round<string> | undefined
  /** What its further rounds stand for, in turn; undefined: only looks. */
  readonly values: readonly (string | undefined)[]
  /** A value had been decided when its round began. */
  readonly late: boolean
}

/**
 * Three acceptors; proposer n lives on the node of acceptor n and dies with it.
 *
 * Events that nobody can tell apart are one event here, which keeps the number of worlds small and leaves no behaviour
 * out: a reply that waits until its state is durable leaves together with it (a crash before leaves nothing, a crash
 * between is a lost reply); a round takes in the answers of a majority at once, because it says nothing before; and a
 * round is asked to begin and has its own acceptor's promise at once. An answer of `outbid` only ends a round, which may
 * end at any time anyway.
 */
export interface World {
  readonly acceptors: readonly Acceptor[]
  readonly proposers: readonly Proposer[]
  /** Everything that was ever sent, as JSON, in order. */
  readonly asked: readonly string[]
  readonly answered: readonly string[]
  readonly crashes: number
}

/** How the node around the core works; the first of each is right. */
export interface Shell {
  readonly reply: 'after-writing' | 'before-writing'
  readonly ask: 'own-first' | 'all-at-once'
}

export const soundShell: Shell = { reply: 'after-writing', ask: 'own-first' }

const epoch = 2
const nodes = 3
const pairs: readonly (readonly number[])[] = [
  [0, 1],
  [0, 2],
  [1, 2],
]

export function worldOf(values: readonly (readonly (string | undefined)[])[], crashes: number): World {
  const acceptor: Acceptor = { durable: undefined, memory: undefined }
  const proposers = values.map((each): Proposer => ({ round: undefined, values: each, late: false }))
  const acceptors = Array.from({ length: nodes }, () => acceptor)
  return { acceptors, proposers, asked: [], answered: [], crashes }
}

export function keyOf(world: World): string {
  return JSON.stringify(world)
}

/** Every world that one event leads to. */
export function* successors(world: World, shell: Shell): Iterable<World> {
  for (let node = 0; node < nodes; node++) {
    const { durable, memory } = world.acceptors[node]!
    if (memory !== durable) yield { ...world, acceptors: world.acceptors.with(node, { durable: memory, memory }) }
    const forgets = memory !== durable || world.proposers[node]?.round !== undefined
    if (world.crashes > 0 && forgets) yield crashed(world, node)
  }
  for (let index = 0; index < world.proposers.length; index++) {
    if (world.proposers[index]!.values.length > 0) yield begun(world, index, shell)
    for (const pair of pairs) {
      const next = gathered(world, index, pair)
      if (next !== undefined) yield next
    }
  }
  for (const text of world.asked) {
    const { to, request } = parsed<Asked>(text)
    const next = delivered(world, to, request, shell)
    if (next !== world) yield next
  }
}

const cache = new Map<string, unknown>()

function parsed<T>(text: string): T {
  const value = cache.get(text) ?? JSON.parse(text)
  cache.set(text, value)
  return value as T
}

function crashed(world: World, node: number): World {
  const { durable } = world.acceptors[node]!
  const acceptors = world.acceptors.with(node, { durable, memory: durable })
  const proposer = world.proposers[node]
  const proposers =
    proposer === undefined ? world.proposers : world.proposers.with(node, { ...proposer, round: undefined })
  return { ...world, acceptors, proposers, crashes: world.crashes - 1 }
}

function begun(world: World, index: number, shell: Shell): World {
  const proposer = world.proposers[index]!
  const [value, ...values] = proposer.values
  const promised = world.acceptors[index]!.memory?.promised ?? zeroBallot
  const ballot = { counter: Math.max(promised.counter, proposer.round?.ballot.counter ?? 0) + 1, number: index + 1 }
  const begin = beginRound<string>({ epoch, ballot, acceptors: nodes, self: index, value })
  const late = decided(world).size > 0
  const next = { ...world, proposers: world.proposers.with(index, { round: begin.round, values, late }) }
  if (shell.ask === 'all-at-once') return ask(next, [0, 1, 2], begin.request!)
  const own = delivered(next, index, begin.request!, shell)
  const reply = own.answered
    .map((text) => parsed<Answered>(text))
    .find((each) => isFrom(each, index, begin.round))!.reply
  const { round, to, request } = stepRound(begin.round, index, reply)
  return ask({ ...own, proposers: own.proposers.with(index, { round, values, late }) }, to, request!)
}

function isFrom({ from, reply }: Answered, node: number, round: Round<string>): boolean {
  return from === node && compareBallots(reply.ballot, round.ballot) === 0
}

/** The round of a proposer has heard all of these acceptors. Undefined: they have not all answered, or it is over. */
function gathered(world: World, index: number, from: readonly number[]): World | undefined {
  const proposer = world.proposers[index]!
  const { round } = proposer
  if (round === undefined) return undefined
  const kind = round.phase === 'accepting' ? 'accepted' : 'promised'
  let step = { round, to: [] as readonly number[], request: undefined as RegisterRequest<string> | undefined }
  for (const node of from) {
    const answers = world.answered.map((text) => parsed<Answered>(text))
    const answer = answers.find((each) => isFrom(each, node, round) && each.reply.kind === kind)
    if (answer === undefined) return undefined
    step = stepRound(step.round, node, answer.reply)
  }
  if (step.round.phase === round.phase) return undefined
  const next = { ...world, proposers: world.proposers.with(index, { ...proposer, round: step.round }) }
  return step.request === undefined ? next : ask(next, step.to, step.request)
}

function delivered(world: World, to: number, request: RegisterRequest<string>, shell: Shell): World {
  const acceptor = world.acceptors[to]!
  const { state, reply } = acceptorStep(epoch - 1, acceptor.memory, request)
  if (reply.kind === 'outbid') return world
  const answered = withText(world.answered, { from: to, reply } satisfies Answered)
  if (state === acceptor.memory) return answered === world.answered ? world : { ...world, answered }
  const durable = shell.reply === 'after-writing' ? state : acceptor.durable
  return { ...world, answered, acceptors: world.acceptors.with(to, { durable, memory: state }) }
}

function ask(world: World, to: readonly number[], request: RegisterRequest<string>): World {
  const asked = to.reduce((texts, each) => withText(texts, { to: each, request } satisfies Asked), world.asked)
  return { ...world, asked }
}

function withText(texts: readonly string[], message: Asked | Answered): readonly string[] {
  const text = JSON.stringify(message)
  return texts.includes(text) ? texts : [...texts, text].sort()
}

/** The values for which a majority has said, in one ballot, that it has voted for them. */
export function decided(world: World): Set<string> {
  const votes = new Map<string, Set<number>>()
  for (const text of world.answered) {
    const { from, reply } = parsed<Answered>(text)
    if (reply.kind !== 'accepted') continue
    const ballot = JSON.stringify(reply.ballot)
    votes.set(ballot, (votes.get(ballot) ?? new Set()).add(from))
  }
  const values = new Set<string>()
  for (const text of world.asked) {
    const { request } = parsed<Asked>(text)
    if (request.kind !== 'accept') continue
    if ((votes.get(JSON.stringify(request.ballot))?.size ?? 0) >= majority(nodes)) values.add(request.value)
  }
  return values
}

/** What is wrong with a world; undefined: nothing. */
export function flaw(world: World): string | undefined {
  const values = decided(world)
  for (const { round, late } of world.proposers) {
    if (round?.phase === 'chosen') values.add(round.value!)
    if (round?.phase === 'unset' && late) return 'a look that began after the decision saw nothing'
  }
  return values.size > 1 ? `decided: ${[...values].sort().join(' and ')}` : undefined
}

import { KvError, type MemberStatus, type NodeFigures } from '@quorumkv/client'
import type { Client, Context } from './context.js'
import { formatDuration } from './duration.js'
import { exitStatus } from './exit.js'
import { limits } from './limits.js'
import { OperationRates } from './operation-rates.js'
import { write, writeJson } from './output.js'
import { type ClusterView, lookAtCluster, type Rates, rateText, statusJson, statusText } from './status-text.js'
import { cut } from './table.js'
import { formatCount, plural } from './text.js'

/** What one look at the cluster came to: a picture, or why there is none. */
type Sight = { readonly view: ClusterView; readonly rates: Rates } | { readonly error: KvError }

/**
 * Shows the status every `intervalMs` until Ctrl-C, which is the way to end it and no failure. On a terminal the picture is
 * redrawn where it stands. A cluster that does not answer is shown as such, and asked again; what would never pass
 * (a malformed endpoint, a refusal to identify) is thrown.
 */
export async function watchStatus(context: Context, intervalMs: number): Promise<number> {
  const { io } = context
  const stopping = new AbortController()
  const forgetInterrupts = io.onInterrupt(() => stopping.abort())
  const rates = new OperationRates()
  const inPlace = io.stdout.isTTY === true && context.look.columns !== undefined && !context.options.json
  const screen = new Screen(context)
  try {
    if (inPlace) await screen.open()
    while (!stopping.signal.aborted) {
      const beganMs = io.timing.monotonic()
      const sight = await lookOnce(context, rates)
      if (stopping.signal.aborted) break
      if (inPlace) await screen.show(pictureOf(sight, context, intervalMs))
      else await writeLine(sight, context)
      await io.timing.sleep(Math.max(0, intervalMs - (io.timing.monotonic() - beganMs)), stopping.signal)
    }
  } finally {
    forgetInterrupts()
    if (inPlace) await screen.close()
  }
  return exitStatus.done
}

async function lookOnce({ client, options }: Context, rates: OperationRates): Promise<Sight> {
  const timeoutMs = options.timeoutMs ?? limits.watchAnswerMs
  try {
    const view = await lookAtCluster(client(), timeoutMs)
    return { view, rates: rates.next(await figuresOf(view, client(), timeoutMs)) }
  } catch (error) {
    if (error instanceof KvError && error.retryable) return { error }
    throw error
  }
}

/** What those members measure that have told their status. Who does not tell this, or tells nonsense, is shown without it. */
async function figuresOf(
  { told }: ClusterView,
  { operator }: Client,
  timeoutMs: number,
): Promise<ReadonlyMap<string, NodeFigures | undefined>> {
  const answers = [...told.values()].filter(({ ok }) => ok)
  const figures = await Promise.all(
    answers.map(async ({ id, address }): Promise<[string, NodeFigures | undefined]> => {
      try {
        return [id, await operator.figures(address, { timeoutMs })]
      } catch (error) {
        if (error instanceof KvError) return [id, undefined]
        throw error
      }
    }),
  )
  return new Map(figures)
}

function pictureOf(sight: Sight, { io, look, options }: Context, intervalMs: number): string {
  const time = new Date(io.timing.wall()).toISOString().slice(11, 19)
  const head = look.colours.dim(`every ${formatDuration(intervalMs)}, at ${time} UTC; Ctrl-C ends it`)
  if ('view' in sight) return `${head}\n${statusText(sight.view, look, sight.rates)}`
  const what = `nobody answers at ${options.endpoints.join(', ')}: ${sight.error.message}`
  return `${head}\n${look.colours.red(what)}\n`
}

/** One line for a log: what a person would look at first. */
async function writeLine(sight: Sight, { io, options }: Context): Promise<void> {
  const at = new Date(io.timing.wall()).toISOString()
  if ('error' in sight) {
    const { code, message } = sight.error
    if (options.json) await writeJson(io.stdout, { at, error: { code, message } })
    else await write(io.stdout, `${at} nobody answers: ${message}\n`)
    return
  }
  const { view, rates } = sight
  const operationsPerSecond = Object.fromEntries([...rates].map(([id, rate]) => [id, rate ?? null]))
  if (options.json) await writeJson(io.stdout, { at, ...statusJson(view), operationsPerSecond })
  else await write(io.stdout, `${at} ${summaryOf(view, rates)}\n`)
}

function summaryOf({ seen, told }: ClusterView, rates: Rates): string {
  const alive = seen.members.filter(({ liveness }) => liveness === 'alive').length
  const parts = [`epoch ${seen.epoch}`, `${alive} of ${seen.members.length} alive`]
  for (const { id, liveness } of seen.members) if (liveness !== 'alive') parts.push(`${id} ${liveness}`)
  const answers = [...told.values()].filter((one): one is MemberStatus & { ok: true } => one.ok)
  const hints = answers.flatMap(({ status }) => status.hints).reduce((sum, one) => sum + one.hints, 0)
  if (answers.length > 0) {
    const entries = answers.map(({ id, status }) => `${id} ${formatCount(status.storage.entries)}`)
    parts.push(`keys ${entries.join(' ')}`)
  }
  if ([...rates.values()].some((rate) => rate !== undefined)) {
    parts.push(`ops/s ${[...rates].map(([id, rate]) => `${id} ${rateText(rate)}`).join(' ')}`)
  }
  if (hints > 0) parts.push(`${plural(hints, 'write')} kept for others`)
  if (seen.handover !== undefined) parts.push(`handover in step ${seen.handover.step}`)
  return parts.join(', ')
}

const hideCursor = '\x1b[?25l'
const showCursor = '\x1b[?25h'
const clearToLineEnd = '\x1b[K'
const clearBelow = '\x1b[J'

/** A picture that is replaced where it stands, without the flicker of clearing it first. */
class Screen {
  readonly #context: Context
  #lines = 0

  constructor(context: Context) {
    this.#context = context
  }

  async open(): Promise<void> {
    await write(this.#context.io.stdout, hideCursor)
  }

  async show(picture: string): Promise<void> {
    const { stdout } = this.#context.io
    const [columns, rows] = [stdout.columns || 80, stdout.rows || 24]
    const all = picture.trimEnd().split('\n')
    // The last row stays free: a newline there would scroll the picture away from where it is looked for.
    const lines =
      all.length < rows ? all : [...all.slice(0, Math.max(0, rows - 2)), `… ${all.length - rows + 2} more lines`]
    const up = this.#lines === 0 ? '' : `\x1b[${this.#lines}A`
    this.#lines = lines.length
    await write(
      stdout,
      `${up}\r${lines.map((line) => `${cut(line, columns)}${clearToLineEnd}\n`).join('')}${clearBelow}`,
    )
  }

  /** The last picture stays. */
  async close(): Promise<void> {
    await write(this.#context.io.stdout, showCursor)
  }
}

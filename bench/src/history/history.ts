import { appendFile, mkdir, readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Environment } from '@quorumkv/cli/bench'

/** Where recorded runs are kept: one JSON object to a line, the oldest first, never rewritten. */
export const historyFile: string = fileURLToPath(new URL('../../history/runs.ndjson', import.meta.url))

/** One figure of a run. */
export interface HistoryFigure {
  /** The same in every run that it may be compared with. */
  readonly name: string
  /** What `value` counts: `ops/s`, `µs`, `ns`, … */
  readonly unit: string
  readonly better: 'higher' | 'lower'
  readonly value: number
  /** Where it was measured in several rounds: the lowest and the highest; `value` is then the median. */
  readonly range?: readonly [min: number, max: number]
}

/** What a line of the history holds. `formatVersion` changes when a reader would have to. */
export interface HistoryRun {
  readonly formatVersion: 1
  /** When the run was started, in ISO 8601. */
  readonly startedAt: string
  readonly benchmark: string
  readonly environment: Environment
  /** What was asked for, as far as it changes the figures: only runs with the same settings compare. */
  readonly settings: Readonly<Record<string, string>>
  readonly figures: readonly HistoryFigure[]
}

/** A line that is no run. The message names the line and what is wrong. */
export class HistoryError extends Error {
  override readonly name = 'HistoryError'
}

type Fields = Readonly<Record<string, unknown>>

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}

function isRange(value: unknown): boolean {
  return value === undefined || (Array.isArray(value) && value.length === 2 && value.every(isNumber))
}

function isFigure(value: unknown): boolean {
  if (!isObject(value)) return false
  const { name, unit, better, value: figure, range } = value
  const isNamed = typeof name === 'string' && name !== '' && typeof unit === 'string'
  return isNamed && (better === 'higher' || better === 'lower') && isNumber(figure) && isRange(range)
}

function isEnvironment(value: unknown): boolean {
  if (!isObject(value)) return false
  const texts = [value['cpu'], value['os'], value['node'], value['commit'] ?? '']
  const numbers = [value['cores'], value['memoryBytes'], value['loadAverage']]
  return texts.every((text) => typeof text === 'string') && numbers.every(isNumber)
}

/** What keeps `value` from being a HistoryRun; undefined: nothing. */
function faultOf(value: unknown): string | undefined {
  if (!isObject(value)) return 'it is no object'
  const { formatVersion, startedAt, benchmark, environment, settings, figures } = value
  if (formatVersion !== 1) return `its formatVersion is ${JSON.stringify(formatVersion)}, and only 1 is known`
  if (typeof startedAt !== 'string' || Number.isNaN(Date.parse(startedAt))) return 'startedAt is no time'
  if (typeof benchmark !== 'string' || benchmark === '') return 'benchmark is no name'
  if (!isEnvironment(environment)) return 'environment is not that of a run'
  if (!isObject(settings) || !Object.values(settings).every((text) => typeof text === 'string')) {
    return 'settings are no texts'
  }
  if (!Array.isArray(figures) || figures.length === 0) return 'it has no figures'
  const wrong = figures.findIndex((figure) => !isFigure(figure))
  return wrong === -1 ? undefined : `figures[${wrong}] is no figure`
}

/** Reads the lines of a history. Throws HistoryError at the first that is no run. */
export function parseHistory(text: string): HistoryRun[] {
  return text.split('\n').flatMap((line, i) => {
    if (line.trim() === '') return []
    let value: unknown
    try {
      value = JSON.parse(line)
    } catch (cause) {
      throw new HistoryError(`line ${i + 1} is no JSON: ${(cause as Error).message}`, { cause })
    }
    const fault = faultOf(value)
    if (fault !== undefined) throw new HistoryError(`line ${i + 1}: ${fault}`)
    return [value as HistoryRun]
  })
}

/** The runs of a file; none where there is no file. Rejects with HistoryError where a line is no run. */
export async function readHistory(file: string = historyFile): Promise<HistoryRun[]> {
  try {
    return parseHistory(await readFile(file, 'utf8'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    if (error instanceof HistoryError) throw new HistoryError(`${file}, ${error.message}`, { cause: error })
    throw error
  }
}

/** Adds a run as one line. Rejects with HistoryError, and adds nothing, where it would be no run for a reader. */
export async function recordRun(run: HistoryRun, file: string = historyFile): Promise<void> {
  const line = JSON.stringify(run)
  const fault = faultOf(JSON.parse(line))
  if (fault !== undefined) throw new HistoryError(`the run cannot be recorded: ${fault}`)
  await mkdir(dirname(file), { recursive: true })
  await appendFile(file, `${line}\n`)
}

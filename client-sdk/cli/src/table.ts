import { stripVTControlCharacters } from 'node:util'
import CliTable from 'cli-table3'
import type { Colors } from 'picocolors/types.js'

/** How tables look where they are printed. */
export interface Look {
  readonly colours: Colors
  /** Characters that fit a line; undefined: as many as there are. */
  readonly columns: number | undefined
  /** Cells with tabs between them, whole: for programs. */
  readonly raw: boolean
}

/** Between two columns. */
const gap = 2
/** A column that is cut keeps so many characters. */
const cellCharsMin = 6

/**
 * Rows in columns, without lines. The heads are dim where there are colours. What does not fit the terminal is never
 * wrapped: the columns named in `drop` go, first one first, then the widest cells are cut.
 */
export function table(
  { colours, columns, raw }: Look,
  head: readonly string[],
  rows: readonly (readonly string[])[],
  drop: readonly string[] = [],
): string {
  if (raw) return `${[head, ...rows].map((row) => row.map(stripVTControlCharacters).join('\t')).join('\n')}\n`
  if (columns === undefined) return drawn(colours, head, rows)
  const { kept, left } = fitting(head, rows, columns, drop)
  const widths = cutWidths(
    kept.map((column) => widthOf(column, head, rows)),
    columns,
  )
  const cells = (row: readonly string[]): string[] => kept.map((column, i) => cut(row[column] ?? '', widths[i]!))
  const text = drawn(colours, cells(head), rows.map(cells))
  if (left.length === 0) return text
  const note = `(no room here for: ${left.join(', ')})`
  return `${text}${colours.dim(cut(note, columns))}\n`
}

function drawn(colours: Colors, head: readonly string[], rows: readonly (readonly string[])[]): string {
  const none = ''
  const sides = { left: none, right: none, mid: none, 'left-mid': none, 'mid-mid': none, 'right-mid': none }
  const top = { top: none, 'top-mid': none, 'top-left': none, 'top-right': none }
  const bottom = { bottom: none, 'bottom-mid': none, 'bottom-left': none, 'bottom-right': none }
  const lines = new CliTable({
    chars: { ...sides, ...top, ...bottom, middle: ' '.repeat(gap) },
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
  })
  lines.push(head.map((title) => colours.dim(title)))
  lines.push(...rows.map((row) => [...row]))
  return `${lines
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')}\n`
}

/** What tables hold is ASCII (ids, addresses, numbers), each character of which takes one column. */
function widthOf(column: number, head: readonly string[], rows: readonly (readonly string[])[]): number {
  return Math.max(...[head, ...rows].map((row) => stripVTControlCharacters(row[column] ?? '').length))
}

const total = (widths: readonly number[]): number => widths.reduce((sum, width) => sum + width + gap, -gap)

function fitting(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  columns: number,
  drop: readonly string[],
): { kept: number[]; left: string[] } {
  let kept = head.map((_, column) => column)
  const left: string[] = []
  for (const title of drop) {
    if (total(kept.map((column) => widthOf(column, head, rows))) <= columns) break
    if (!head.includes(title)) continue
    kept = kept.filter((column) => head[column] !== title)
    left.push(title)
  }
  return { kept, left }
}

/** Takes from the widest until all fit, or nothing more can be taken. */
function cutWidths(given: readonly number[], columns: number): number[] {
  const widths = [...given]
  for (let over = total(widths) - columns; over > 0; over--) {
    const widest = widths.indexOf(Math.max(...widths))
    if (widths[widest]! <= cellCharsMin) break
    widths[widest] = widths[widest]! - 1
  }
  return widths
}

/** What is cut loses its colours: half an escape sequence would colour everything behind it. */
export function cut(text: string, width: number): string {
  const plain = stripVTControlCharacters(text)
  return plain.length <= width ? text : `${plain.slice(0, Math.max(0, width - 1))}…`
}

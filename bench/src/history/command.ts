import { writeFile } from 'node:fs/promises'
import { type Command, Option } from 'commander'
import { historyFile, readHistory } from './history.js'
import { formatHistory } from './page.js'

/** `--record`, of all benchmarks whose runs can be kept. */
export function recordOption(): Option {
  return new Option('--record', 'add a line to bench/history/runs.ndjson').default(false)
}

/** What `report` was asked to do. */
export interface ReportSettings {
  readonly history: string
  readonly out: string
}

/** Adds the options of `report` to a command, and what is done with them. */
export function addReportOptions(command: Command, action: (settings: ReportSettings) => Promise<void>): Command {
  return command
    .addOption(new Option('--history <file>', 'the recorded runs').default(historyFile))
    .addOption(new Option('--out <file>', 'where the page is written').default('bench-history.html'))
    .action(action)
}

/** Draws the history as a page; says where it is, in one line. Rejects with HistoryError where a line is no run. */
export async function writeReport({ history, out }: ReportSettings): Promise<string> {
  const runs = await readHistory(history)
  await writeFile(out, formatHistory(runs))
  return `${out}: ${runs.length} runs of ${history}\n`
}

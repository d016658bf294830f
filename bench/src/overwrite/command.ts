import { tmpdir } from 'node:os'
import { textTable, valueBytesMin } from '@quorumkv/cli/bench'
import { type Command, Option } from 'commander'
import { formatEnvironment } from '../environment-text.js'
import { formatExpectations } from '../expectation.js'
import { limits } from '../limits.js'
import { checkInFlightBytes, seconds, whole } from '../options.js'
import { formatFigure } from '../store-format.js'
import type { OverwriteReport, OverwriteSettings } from './run.js'

/** Adds the options of `overwrite` to a command, and what is done with them. */
export function addOverwriteOptions(command: Command, action: (settings: OverwriteSettings) => Promise<void>): Command {
  const option = (flags: string, description: string): Option => new Option(flags, description)
  return command
    .addOption(option('--seconds <s>', 'how long').default(600).argParser(seconds(3)))
    .addOption(option('--keys <n>', 'keys, all loaded first').default(10_000).argParser(whole(1, limits.keysMax)))
    .addOption(
      option('--value-bytes <n>', 'size of a value')
        .default(1024)
        .argParser(whole(valueBytesMin, limits.valueBytesMax)),
    )
    .addOption(option('--in-flight <n>', 'operations at a time').default(256).argParser(whole(1, limits.inFlightMax)))
    .addOption(
      option('--snapshot-log-bytes <n>', 'a node takes a snapshot when its log has grown by so much')
        .default(8_388_608)
        .argParser(whole(1_048_576, 1_099_511_627_776)),
    )
    .addOption(option('--seed <text>', 'the same seed gives the same operations').default('1'))
    .addOption(option('--data-dir <path>', 'where the nodes keep their data meanwhile').default(tmpdir()))
    .addOption(option('--json', 'print one JSON object').default(false))
    .action(async (settings: OverwriteSettings, self: Command) => {
      checkInFlightBytes(self, settings.inFlight, settings.valueBytes)
      await action(settings)
    })
}

const rowsMax = 12
/** Of each node: by then it has as many segments as it will keep, however slow its disk is. */
const snapshotsMin = 30
const head = ['', 'memory of the nodes', 'files of the nodes']

/** The report for people. */
export function formatOverwriteReport(report: OverwriteReport): string {
  const { startedAt, environment, fileSystem, settings, phase, samples, expectations } = report
  const { keys, valueBytes, inFlight, snapshotLogBytes, seed } = settings
  const mib = (bytes: number): string => `${formatFigure(Math.round(bytes / 2 ** 20))} MiB`
  const step = Math.ceil(samples.length / rowsMax)
  const shown = samples.filter((_, i) => i % step === 0 || i === samples.length - 1)
  const rows = shown.map((sample) => {
    return [`${sample.seconds.toFixed(0)} s`, mib(sample.residentBytes), mib(sample.fileBytes)]
  })
  const logged = (phase.operations * valueBytes) / snapshotLogBytes
  const written = `${formatFigure(phase.operations)} operations, ${formatFigure(Math.round(phase.opsPerSecond))}/s`
  const parts = [
    formatEnvironment(startedAt, environment, [
      [
        'cluster',
        `3 nodes, N/R/W 3/2/2, fsync always on ${fileSystem}, a snapshot each ${mib(snapshotLogBytes)} of log`,
      ],
      [
        'workload',
        `write-heavy, ${inFlight} in flight, ${formatFigure(keys)} keys, values of ${valueBytes} B, seed ${seed}`,
      ],
      [
        'done',
        `${written} in ${phase.seconds.toFixed(0)} s: about ${formatFigure(Math.floor(logged))} snapshots of each node`,
      ],
    ]),
    textTable([head, ...rows]),
    formatExpectations(expectations),
  ]
  if (phase.errors.count > 0) parts.push(['errors, for example', ...phase.errors.examples].join('\n  '))
  if (logged < snapshotsMin)
    parts.push(`There were too few snapshots to tell whether files level off: fewer than ${snapshotsMin}.`)
  return `${parts.join('\n\n')}\n`
}

import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { exitStatus, FatalError, parseIncarnation } from '@quorumkv/internal/base'
import { decodeTopology } from '@quorumkv/internal/cluster'
import {
  carryOutRepair,
  type DirectoryRepair,
  type DocumentRepair,
  type Loss,
  planRepair,
  type RepairPlan,
} from '@quorumkv/internal/store'
import { Command } from 'commander'
import {
  dataDirOf,
  describeFinding,
  documentChecks,
  type Output,
  parseOfflineOptions,
  withStoppedNode,
} from './verify.js'

/** Asks a person a yes-or-no question; undefined: nobody is there to answer. */
export type Ask = ((question: string) => Promise<boolean>) | undefined

/** A name for this moment that sorts by time and that no file system minds. */
function freshName(path: string): string {
  const now = new Date().toISOString().replaceAll(':', '-')
  let name = now
  for (let i = 2; existsSync(join(path, 'damaged', name)); i++) name = `${now}-${i}`
  return name
}

function describeDocument(change: DocumentRepair): string {
  switch (change.action) {
    case 'mend':
      return `"${change.name}": byte ${change.offset} is wrong, and its checksums tell what it was: mended, nothing is lost`
    case 'rewrite':
      return `"${change.name}": written again from what the other files say, nothing is lost`
    case 'forget':
      return `"${change.name}": set aside; the node goes on without what it said`
    default:
      return change satisfies never
  }
}

function describeLoss({ sequences, groupsMax, openEnd, snapshots }: Loss): string[] {
  const ranges = sequences.map(({ first, last }) => (first === last ? `${first}` : `${first} to ${last}`))
  const lines: string[] = []
  if (ranges.length > 0) {
    lines.push(`lost: sequences ${ranges.join(', ')} of the log: at most ${groupsMax} groups of writes cannot be read`)
  }
  if (openEnd) lines.push('lost: whatever the log held behind the last frame that can be read; nothing tells how much')
  for (const { path, blocks, kept } of snapshots) {
    lines.push(
      `of ${path}, which is damaged, ${kept} of ${blocks ?? 'an unknown number of'} blocks can be read and are kept`,
    )
  }
  lines.push(
    'single keys of these groups may be older on this node than they were, or missing, or be back after a delete',
  )
  return lines
}

function describeFuture({ loss, documents, alone, reborn }: DirectoryRepair): string[] {
  const forgotten = documents.some(({ action }) => action === 'forget')
  if (loss === undefined && !forgotten) return ['nothing that was acknowledged is lost']
  if (alone) {
    return ['this node is the only member of its cluster: it starts again with what is left, and nobody has the rest']
  }
  const what = loss === undefined ? 'what it had promised' : 'what it had acknowledged'
  return reborn
    ? [
        `this node has lost ${what}, and it is not the only member of its cluster: it must not answer quorum reads as ` +
          'if it had lost nothing. It becomes a NEW INCARNATION, which the other members refuse until it can be ' +
          'refilled from them: it will NOT serve again by itself after this repair',
      ]
    : []
}

/** The plan, for whoever has to agree to it. */
export function describePlan(path: string, plan: RepairPlan): string {
  switch (plan.kind) {
    case 'nothing':
      return `${path}: sound, nothing to repair\n`
    case 'resume':
      return `${path}: a former repair was cut short; it will be finished (what it sets aside is in ${plan.journal.directory})\n`
    case 'repair':
      break
    default:
      return plan satisfies never
  }
  const { survey, documents, aside, rebuild, loss, directory } = plan
  const steps = documents.map(describeDocument)
  if (rebuild === undefined) for (const file of aside) steps.push(`${file}: set aside`)
  else {
    steps.push('everything that can be read is merged into one new snapshot with an empty log behind it')
    steps.push(`${aside.length} old files of the log and snapshots are set aside, whole, sound ones too`)
  }
  const lines = [...steps, ...(loss === undefined ? [] : describeLoss(loss)), ...describeFuture(plan)]
  return (
    `${path}: damaged\n${survey.findings.map(describeFinding).join('')}` +
    `The repair, which sets aside in ${directory} and deletes nothing:\n${lines.map((line) => `  ${line}\n`).join('')}`
  )
}

function describeOutcome(plan: Exclude<RepairPlan, { kind: 'nothing' }>, records: number | undefined): string {
  const directory = plan.kind === 'resume' ? plan.journal.directory : plan.directory
  const rebuilt = records === undefined ? '' : ` The store holds ${records} records, tombstones included.`
  const reborn =
    plan.kind === 'repair' && plan.reborn ? ' It is a new incarnation: the other members of the cluster refuse it.' : ''
  return `repaired.${rebuilt}${reborn} What was set aside is in ${directory}; remove it when nobody needs it any more\n`
}

async function isAgreed(yes: boolean, ask: Ask): Promise<boolean> {
  if (yes) return true
  if (ask !== undefined) return await ask('Do this? [y/N] ')
  throw new FatalError('usage', 'nothing was changed: say --yes to have it done')
}

/**
 * `kv-server repair`: sets what is damaged aside, so that the node can start with what is sound. `argv` is what follows
 * the command. Resolves with the exit status: 0 repaired or sound, 3 still damaged. Throws FatalError (`usage` also
 * where nobody agreed, `in-use`, `corrupt` where no repair can help) and DiskErrors.
 */
export async function runRepair(
  argv: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
  output: Output,
  ask: Ask,
): Promise<number> {
  const command = new Command('kv-server repair')
    .description('Sets the damaged parts of a stopped node aside, after saying what is lost. Deletes nothing.')
    .option('--data-dir <path>', 'directory of the node (default: KV_DATA_DIR, else ./kv-data)')
    .option('--yes', 'do it without asking')
    .addHelpText(
      'after',
      '\nExit status: 0 repaired or sound, 2 usage or not agreed to, 3 still damaged, 4 the disk failed, 5 the data\n' +
        'directory is in use.',
    )
  const options = parseOfflineOptions(command, argv, output)
  if (options === undefined) return 0
  return await withStoppedNode(dataDirOf(options['dataDir'], environment), async (path, disk) => {
    const plan = await planRepair({
      disk,
      checks: documentChecks,
      members: (topology) => decodeTopology(topology).members,
      newIncarnation: parseIncarnation(randomBytes(16).toString('hex')),
      name: freshName(path),
    })
    output.out(describePlan(path, plan))
    if (plan.kind === 'nothing') return 0
    if (!(await isAgreed(options['yes'] === true, ask))) {
      output.out('nothing was changed\n')
      return exitStatus.corrupt
    }
    const { records } = await carryOutRepair(disk, plan)
    output.out(describeOutcome(plan, records))
    return 0
  })
}

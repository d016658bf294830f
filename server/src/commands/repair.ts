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
import { type Output, parseOptions } from './options.js'
import { dataDirOf, describeFinding, describeLost, documentChecks, withStoppedNode } from './verify.js'

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
      return change.name === 'lost'
        ? '"lost": nothing tells any more which slots were lost, so all of them count as lost'
        : `"${change.name}": written again from what the other files say, nothing is lost`
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
  lines.push('single keys may be older on this node than they were, or missing, or be back after a delete')
  return lines
}

/** What giving up means, and for whom it is. */
function describeAcceptance(slots: number): string {
  return (
    `--accept-loss: ${slots} slots no longer count as lost. The node answers for them with what it has: writes that it ` +
    'had acknowledged are GIVEN UP, keys may be older than they were, missing, or back after a delete. That is for data ' +
    'of which this was the only copy (a standalone node, replication factor 1, or all replicas gone); where another ' +
    'replica has them, leave this out and let it refill them'
  )
}

function describeFuture({ loss, lost, acceptLoss, documents, alone, reborn }: DirectoryRepair): string[] {
  const lines: string[] = []
  const forgotten = documents.some(({ action }) => action === 'forget')
  if (loss === undefined && !forgotten) lines.push('nothing that was acknowledged is lost')
  if (lost.length > 0) lines.push(acceptLoss ? describeAcceptance(lost.length) : describeLost(lost.length).trimEnd())
  if (lost.length > 0 && alone && !acceptLoss) {
    lines.push(
      'this node is the only member of its cluster: nobody can refill them, and it answers "unavailable" for their ' +
        'keys until "kv-server repair --accept-loss" is run',
    )
  }
  if (reborn) {
    lines.push(
      'this node has lost what it had promised, and it is not the only member of its cluster. It becomes a NEW ' +
        'INCARNATION: when it is started, the other members take it in as such, as long as a majority of all members ' +
        'runs, and every slot is refilled from them before it counts again',
    )
  }
  return lines
}

/** The plan, for whoever has to agree to it. */
export function describePlan(path: string, plan: RepairPlan): string {
  switch (plan.kind) {
    case 'nothing':
      return `${path}: sound, nothing to repair\n${plan.lost.length === 0 ? '' : describeLost(plan.lost.length)}`
    case 'accept':
      return `${path}: sound\n${describeAcceptance(plan.lost.length)}\n`
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
  if (plan.kind === 'accept') return 'done: no slot counts as lost any more\n'
  const directory = plan.kind === 'resume' ? plan.journal.directory : plan.directory
  const rebuilt = records === undefined ? '' : ` The store holds ${records} records, tombstones included.`
  const reborn =
    plan.kind === 'repair' && plan.reborn
      ? ' It is a new incarnation, which the other members take in when it is started.'
      : ''
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
 * where nobody agreed, `in-use`, `refused` where a later release has written it, `corrupt` where no repair can help) and DiskErrors.
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
    .option('--accept-loss', 'mark no slot as lost, and none that was: for data of which this was the only copy')
    .addHelpText(
      'after',
      '\nExit status: 0 repaired or sound, 2 usage or not agreed to, 3 still damaged, 4 the disk failed, 5 the data\n' +
        'directory is in use, 6 a later release has written it.',
    )
  const options = parseOptions(command, argv, output)
  if (options === undefined) return 0
  return await withStoppedNode(dataDirOf(options['dataDir'], environment), async (path, disk) => {
    const plan = await planRepair({
      disk,
      checks: documentChecks,
      members: (topology) => decodeTopology(topology).members,
      newIncarnation: parseIncarnation(randomBytes(16).toString('hex')),
      name: freshName(path),
      acceptLoss: options['acceptLoss'] === true,
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

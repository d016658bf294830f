import { readdirSync } from 'node:fs'
import { resolve } from 'node:path'
import { exitStatus, FatalError } from '@quorumkv/internal/base'
import { decodeTopology, decodeVotes } from '@quorumkv/internal/cluster'
import type { Disk } from '@quorumkv/internal/env'
import { NodeDisk } from '@quorumkv/internal/env-node'
import { type DirectorySurvey, type DocumentCheck, type Finding, surveyDirectory } from '@quorumkv/internal/store'
import { Command } from 'commander'
import { type DirectoryLock, lockDirectory } from '../data/directory-lock.js'
import { type Output, parseOptions } from './options.js'

/** Of the document `clock`: one 64-bit float, see internal/cluster/stamping-clock.ts. */
const clockBytes = 8

/** What the store does not know about documents of the rooms above it. */
export const documentChecks: Readonly<Record<string, DocumentCheck>> = {
  topology: (payload, identity) => {
    const { clusterId } = decodeTopology(payload)
    if (identity?.clusterId !== undefined && identity.clusterId !== clusterId) {
      throw new Error(`cluster ${clusterId}, where "identity" says ${identity.clusterId}`)
    }
  },
  votes: (payload) => {
    decodeVotes(payload)
  },
  clock: (payload) => {
    if (payload.length !== clockBytes) throw new Error(`${payload.length} bytes where a ceiling has ${clockBytes}`)
  },
}

/** One of these is in every directory that a node has used. */
const marks = ['identity', 'store', 'topology', 'log', 'snapshots']

function unusable(path: string, why: string, cause?: unknown): FatalError {
  return new FatalError('usage', `cannot use the data directory ${path}: ${why}`, cause)
}

function checkDirectory(path: string): void {
  let names: string[]
  try {
    names = readdirSync(path)
  } catch (error) {
    throw unusable(path, error instanceof Error ? error.message : String(error), error)
  }
  // A directory that was named by mistake does not get so much as a lock.
  if (!marks.some((name) => names.includes(name))) throw unusable(path, 'no node has ever used it')
}

/**
 * Works on the files of a node that does not run, and keeps it from starting meanwhile. `work` gets the absolute path
 * and the files. Rejects with FatalError: `usage` where there is no such directory, `in-use` where a process has it.
 */
export async function withStoppedNode<T>(dataDir: string, work: (path: string, disk: Disk) => Promise<T>): Promise<T> {
  const path = resolve(dataDir)
  checkDirectory(path)
  let lock: DirectoryLock
  try {
    lock = await lockDirectory(path)
  } catch (error) {
    if (error instanceof FatalError) throw error
    throw unusable(path, error instanceof Error ? error.message : String(error), error)
  }
  try {
    return await work(path, new NodeDisk(path))
  } finally {
    lock.release()
  }
}

/** The flag, else the environment, else what a node would use. */
export function dataDirOf(given: unknown, environment: Readonly<Record<string, string | undefined>>): string {
  if (given === '') throw new FatalError('usage', '--data-dir: must not be empty')
  if (typeof given === 'string') return given
  const named = environment['KV_DATA_DIR']
  return named === undefined || named === '' ? './kv-data' : named
}

/** A finding for people: what is wrong where, and on the next line what to do. */
export function describeFinding(finding: Finding): string {
  const { kind, path, offset, expected, found, advice } = finding
  return `${kind}: ${path} at byte ${offset}: expected ${expected}, found ${found}\n  ${advice}\n`
}

/** What lost slots mean for whoever looks after the node. */
export function describeLost(slots: number): string {
  const what = slots === 1 ? '1 slot of 4,096 is' : `${slots.toLocaleString('en')} slots of 4,096 are`
  return (
    `${what} marked as lost: the node has no say in them until other replicas have refilled them; where no other ` +
    'replica has them, "kv-server repair --accept-loss" gives up what is lost\n'
  )
}

function describeSurvey(path: string, { identity, files, findings, lost }: DirectorySurvey): string {
  const whose =
    identity === undefined
      ? 'whose it is, cannot be told'
      : `node ${identity.nodeId}, cluster ${identity.clusterId ?? 'none yet'}, incarnation ${identity.incarnation}`
  const widths = {
    path: Math.max(...files.map((file) => file.path.length), 0),
    bytes: Math.max(...files.map((file) => String(file.bytes).length), 0),
  }
  const lines = files.map(({ path: name, bytes, state, holds }) => {
    return `  ${name.padEnd(widths.path)}  ${String(bytes).padStart(widths.bytes)} bytes  ${state.padEnd(9)}  ${holds}\n`
  })
  const verdict = findings.length === 0 ? 'sound\n' : `damaged: ${findings.length} finding(s)\n`
  const loss = lost.length === 0 ? '' : describeLost(lost.length)
  return `${path}: ${whose}\n${lines.join('')}${findings.map(describeFinding).join('')}${loss}${verdict}`
}

/**
 * `kv-server verify`: checks every byte of a stopped node and changes nothing. `argv` is what follows the command.
 * Resolves with the exit status: 0 sound, 3 damaged. Throws FatalError (`usage`, `in-use`, `refused` where a later release has
 * written it) and DiskErrors.
 */
export async function runVerify(
  argv: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
  output: Output,
): Promise<number> {
  const command = new Command('kv-server verify')
    .description('Checks every byte of a stopped node: documents, snapshots, log. Changes nothing.')
    .option('--data-dir <path>', 'directory of the node (default: KV_DATA_DIR, else ./kv-data)')
    .option('--json', 'one object: { ok, findings, files, lostSlots }')
    .addHelpText(
      'after',
      '\nExit status: 0 sound, 2 usage, 3 damaged, 4 the disk failed, 5 the data directory is in use, 6 a later release has\n' +
        'written it.',
    )
  const options = parseOptions(command, argv, output)
  if (options === undefined) return 0
  return await withStoppedNode(dataDirOf(options['dataDir'], environment), async (path, disk) => {
    const survey = await surveyDirectory(disk, documentChecks)
    const { findings, files, lost: lostSlots } = survey
    const ok = findings.length === 0
    const json = options['json'] === true
    output.out(json ? `${JSON.stringify({ ok, findings, files, lostSlots })}\n` : describeSurvey(path, survey))
    return ok ? 0 : exitStatus.corrupt
  })
}

import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

/** A system to compare with. */
export type PeerName = 'redis' | 'etcd'

/** What it takes to run a peer: a program, Debian's package that has it, and what its client is written with. */
export interface PeerProgram {
  readonly peer: PeerName
  readonly command: string
  readonly debianPackage: string
  /** A package of npm that nothing else of the benchmarks needs. */
  readonly npmPackage?: string
}

/** What there is to compare with. */
export const peerPrograms: Readonly<Record<PeerName, PeerProgram>> = {
  redis: { peer: 'redis', command: 'redis-server', debianPackage: 'redis-server', npmPackage: 'ioredis' },
  etcd: { peer: 'etcd', command: 'etcd', debianPackage: 'etcd-server' },
}

/** A program or package that a peer needs is not there, or could not be installed. The message says what to do. */
export class MissingProgramError extends Error {
  override readonly name = 'MissingProgramError'
}

async function isExecutable(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'EACCES' || code === 'ENOTDIR') return false
    throw error
  }
}

/** Those of the peers whose program is on no directory of `path`, the value of the environment's PATH. */
export async function missingPrograms(peers: readonly PeerName[], path: string): Promise<PeerProgram[]> {
  const directories = path.split(delimiter).filter((directory) => directory !== '')
  const missing: PeerProgram[] = []
  for (const peer of peers) {
    const program = peerPrograms[peer]
    const found = await Promise.all(directories.map((directory) => isExecutable(join(directory, program.command))))
    if (!found.includes(true)) missing.push(program)
  }
  return missing
}

/** Those packages of npm that clients of the peers need and that `canLoad` denies. */
export function missingNpmPackages(
  peers: readonly PeerName[],
  canLoad: (name: string) => boolean = isInstalled,
): string[] {
  return peers.flatMap((peer) => peerPrograms[peer].npmPackage ?? []).filter((name) => !canLoad(name))
}

function isInstalled(name: string): boolean {
  try {
    createRequire(import.meta.url).resolve(name)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND') return false
    throw error
  }
}

/** What to do about packages of npm that are not there. */
export function npmRefusal(missing: readonly string[]): string {
  return (
    `the npm ${missing.length === 1 ? 'package' : 'packages'} ${missing.join(' and ')} cannot be found: ` +
    '`npm ci` in the directory of the project installs what its package-lock.json names.'
  )
}

/** One sentence for who wants to compare with programs that are not there. */
export function refusal(missing: readonly PeerProgram[]): string {
  const commands = missing.map(({ command }) => command).join(' and ')
  const packages = missing.map(({ debianPackage }) => debianPackage).join(' and ')
  return (
    `${commands} ${missing.length === 1 ? 'is' : 'are'} not installed: \`npm run bench:peers -- --install\` ` +
    `installs Debian's ${packages}, and --peers chooses what to compare with.`
  )
}

/** The command that installs them, for root or for who may become root without being asked. */
export function installCommand(missing: readonly PeerProgram[], isRoot: boolean): readonly string[] {
  const packages = missing.map(({ debianPackage }) => debianPackage)
  // Debian starts the services of what it installs; a runlevel of 1 has sysv-rc's scripts leave that.
  const apt = ['env', 'RUNLEVEL=1', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', 'install', '--yes']
  return [...(isRoot ? [] : ['sudo', '-n']), ...apt, '--no-install-recommends', ...packages]
}

/**
 * Installs Debian's packages of the given programs; what apt-get says goes to stderr. Rejects with MissingProgramError
 * when apt-get is not there or fails, or with the signal's reason.
 */
export async function install(missing: readonly PeerProgram[], signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  const [command, ...args] = installCommand(missing, process.getuid?.() === 0)
  const child = spawn(command!, args, { stdio: ['ignore', 'pipe', 'inherit'], signal })
  child.stdout.pipe(process.stderr, { end: false })
  const [status] = await once(child, 'close').catch((cause: unknown) => {
    signal.throwIfAborted()
    throw new MissingProgramError(`could not run ${command}: ${(cause as Error).message}`, { cause })
  })
  if (status !== 0) {
    throw new MissingProgramError(`apt-get ended with ${status}; the command was: ${[command, ...args].join(' ')}`)
  }
}

/**
 * Sees to it that the peers can be run: installs Debian's packages of what is missing when `mayInstall`, and rejects with
 * MissingProgramError otherwise, with all that is missing. Packages of npm are never installed from here.
 */
export async function providePrograms(
  peers: readonly PeerName[],
  mayInstall: boolean,
  signal: AbortSignal,
): Promise<void> {
  const path = process.env['PATH'] ?? ''
  const missing = await missingPrograms(peers, path)
  const npmPackages = missingNpmPackages(peers)
  const told = missing.length > 0 && !mayInstall ? [refusal(missing)] : []
  if (npmPackages.length > 0) told.push(npmRefusal(npmPackages))
  if (told.length > 0) throw new MissingProgramError(told.join('\n'))
  if (missing.length === 0) return
  await install(missing, signal)
  const still = await missingPrograms(peers, path)
  if (still.length > 0) throw new MissingProgramError(refusal(still))
}

/** The version that a peer's program tells: the first `1.2.3` of what it prints. */
export async function versionOf(peer: PeerName): Promise<string> {
  const { stdout } = await promisify(execFile)(peerPrograms[peer].command, ['--version'])
  return /\d+\.\d+\.\d+/.exec(stdout)?.[0] ?? 'unknown'
}

import { type ChildProcess, spawn } from 'node:child_process'

/*
 * A test that runs into vitest's timeout has its worker killed, and a killed process runs none of its handlers: what it had
 * started would go on for ever. So each process that starts others tells a third one of them, which holds nothing but the
 * other end of a pipe. That ends with whoever holds the first end, however it dies.
 */

/** `+pid` and `-pid` for processes that run and have ended, `/path` for a directory to remove, one a line. */
const program = `
const { rmSync } = require('node:fs')
const pids = new Set()
const paths = new Set()
require('node:readline').createInterface(process.stdin).on('line', (line) => {
  if (line.startsWith('+')) pids.add(Number(line.slice(1)))
  else if (line.startsWith('-')) pids.delete(Number(line.slice(1)))
  else paths.add(line)
}).on('close', () => {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch (error) {
      if (error.code !== 'ESRCH') throw error
    }
  }
  for (const path of paths) rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
})
`

let reaper: ChildProcess | undefined

function tell(line: string): void {
  if (reaper === undefined) {
    // In a group of its own, so that Ctrl-C on a terminal, or whoever ends the tests' group, leaves it its work.
    reaper = spawn(process.execPath, ['-e', program], { stdio: ['pipe', 'ignore', 'inherit'], detached: true })
    reaper.unref()
    const { stdin } = reaper
    // A pipe is a socket underneath: it alone must not keep the tests from ending.
    if (stdin !== null && 'unref' in stdin && typeof stdin.unref === 'function') stdin.unref()
  }
  reaper.stdin!.write(`${line}\n`)
}

/** From now on the process dies with this one, at the latest. Every process that a test starts is told of here. */
export function reap(child: ChildProcess): void {
  const { pid } = child
  // One that could not be started tells that by its own event.
  if (pid === undefined) return
  tell(`+${pid}`)
  // The number may soon be another process's.
  child.once('exit', () => tell(`-${pid}`))
}

/** From now on the directory is removed when this process ends, after the processes that write into it. */
export function removeAtEnd(path: string): void {
  tell(path)
}

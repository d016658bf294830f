import type { Readable, Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import type { Disk } from '@quorumkv/internal/backup'
import { NodeDisk } from '@quorumkv/internal/env-node'

/** An output as the program sees it; `isTTY`, `columns` and `rows` are there on a terminal. */
export interface Output extends Writable {
  readonly isTTY?: boolean
  readonly columns?: number
  readonly rows?: number
}

export interface Input extends Readable {
  readonly isTTY?: boolean
  /** Of a terminal: whether keys come one by one and Ctrl-C as one of them, rather than lines and a signal. */
  setRawMode?(on: boolean): unknown
}

export type Interrupt = 'SIGINT' | 'SIGTERM'

/** Time, for what retries and reports. Tests give one that needs no waiting. */
export interface Timing {
  /** Unix time in milliseconds. */
  wall(): number
  /** Milliseconds that only grow. */
  monotonic(): number
  /** Resolves after `ms`, or at once when `signal` is aborted; it never rejects. */
  sleep(ms: number, signal: AbortSignal): Promise<void>
  /** Calls `task` every `ms`, without keeping the process alive, until the returned function is called. */
  every(ms: number, task: () => void): () => void
  /** 0 up to but not 1. */
  random(): number
}

/** Everything of the process that a command touches. */
export interface Io {
  readonly stdin: Input
  readonly stdout: Output
  readonly stderr: Output
  readonly env: Readonly<Record<string, string | undefined>>
  readonly timing: Timing
  /** The files of a directory of backups. */
  disk(directory: string): Disk
  /** Calls `handler` at Ctrl-C and SIGTERM, which then no longer end the process, until the returned function is called. */
  onInterrupt(handler: (signal: Interrupt) => void): () => void
  /** Standard output holds what other commands print, too: what a command prints ends with a newline. */
  readonly shared?: true
  /** How a person is asked where standard input belongs to something else, as in the shell; '' where there is no answer. */
  readonly ask?: (question: string) => Promise<string>
  /** Ends the process at once, whatever it waits for. */
  exitNow(status: number): void
}

export const systemTiming: Timing = {
  wall: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: async (ms, signal) => {
    try {
      await delay(ms, undefined, { signal })
    } catch (error) {
      if (!signal.aborted) throw error
    }
  },
  every: (ms, task) => {
    const timer = setInterval(task, ms)
    timer.unref()
    return () => clearInterval(timer)
  },
  random: () => Math.random(),
}

/** The real process. */
export function processIo(): Io {
  return {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    timing: systemTiming,
    disk: (directory) => new NodeDisk(directory),
    onInterrupt: (handler) => {
      process.on('SIGINT', handler)
      process.on('SIGTERM', handler)
      return () => {
        process.off('SIGINT', handler)
        process.off('SIGTERM', handler)
      }
    },
    exitNow: (status) => process.exit(status),
  }
}

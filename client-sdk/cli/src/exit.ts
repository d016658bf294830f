/** What `kv` exits with. Scripts rely on these numbers. */
export const exitStatus = {
  done: 0,
  /** Unavailable, timed out, refused, or a file that could not be read or written. */
  failed: 1,
  /** The command line or an argument is wrong; nothing was sent. */
  usage: 2,
  keyNotFound: 3,
  /** Ctrl-C: 128 + SIGINT, as shells report it. */
  interrupted: 130,
  /** Whoever read our output went away: 128 + SIGPIPE, what `cat` and `git` leave behind in a pipeline. */
  pipeClosed: 141,
  /** 128 + SIGTERM. */
  terminated: 143,
} as const

/** The status of a command that was cut short: by a signal, or, where there was none, as if by Ctrl-C. */
export function interruptStatus(signal: 'SIGINT' | 'SIGTERM' | undefined): number {
  return signal === 'SIGTERM' ? exitStatus.terminated : exitStatus.interrupted
}

/** The command line or an argument is wrong: exit status 2. `field` names the argument or option. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
  readonly field: string

  constructor(field: string, message: string) {
    super(message)
    this.field = field
  }
}

/** Ctrl-C or SIGTERM came before there was anything to tell: exit status 130 or 143. */
export class InterruptedError extends Error {
  override readonly name = 'InterruptedError'
  readonly status: number

  constructor(signal: 'SIGINT' | 'SIGTERM', message: string) {
    super(message)
    this.status = interruptStatus(signal)
  }
}

/** A failure that is no fault of the cluster: a file, a damaged input. Exit status 1; `hint` says what to try next. */
export class FailedError extends Error {
  override readonly name = 'FailedError'
  readonly hint: string | undefined

  constructor(message: string, hint?: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.hint = hint
  }
}

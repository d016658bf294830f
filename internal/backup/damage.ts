import type { DiskError } from '../env/index.js'

/** A file of a backup does not hold what was written: nothing of it is used from there on. */
export class BackupDamage extends Error {
  override readonly name = 'BackupDamage'
  /** Of the file, in the directory of backups. */
  readonly path: string
  /** Where in it. */
  readonly offset: number

  constructor(path: string, offset: number, expected: string, found: string, cause?: unknown) {
    const message = `${path} is damaged at byte ${offset}: expected ${expected}, found ${found}`
    super(message, cause === undefined ? undefined : { cause })
    this.path = path
    this.offset = offset
  }
}

/** A backup is there, and cannot be used as it was asked for. The message says why, and what to do. */
export class BackupRefused extends Error {
  override readonly name = 'BackupRefused'
}

/** A file may be whole: a later release has written it, and only that one can tell. Nothing of the backup is used. */
export class BackupOfLaterRelease extends BackupDamage {
  constructor(path: string, format: number) {
    super(path, 0, 'a format that is known here', `format ${format}`)
    this.message = `${path} has format ${format}, which a later release has written: use the kv of that release`
  }
}

/** A file cannot be read: nobody knows whether it is damaged. As good as that for whoever needs it. */
export class BackupUnreadable extends BackupDamage {
  constructor(path: string, error: DiskError) {
    super(path, 0, 'a file', error.message, error)
    this.message = `${path} cannot be read: ${error.message}`
  }
}

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

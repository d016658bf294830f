import { mkdir, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

function isCode(error: unknown, code: string): boolean {
  return (error as NodeJS.ErrnoException).code === code
}

/** Resolves to whether it was made, false where there is one. Rejects as `mkdir`. */
async function makeOne(path: string, mode: number): Promise<boolean> {
  try {
    await mkdir(path, { mode })
    return true
  } catch (error) {
    if (!isCode(error, 'EEXIST') || !(await stat(path)).isDirectory()) throw error
    return false
  }
}

/**
 * Makes a directory, and those above it that are not there, each with `mode`. Resolves to the first that it has made, undefined
 * where there was nothing to make. Rejects with what the system says.
 *
 * `mkdir` of Node with `recursive` does the same, and goes round for ever where a directory that is there takes no new ones and
 * says so by ENOENT, as those of /proc do: Node 20 was seen to.
 */
export async function makeDirectories(path: string, mode: number): Promise<string | undefined> {
  try {
    return (await makeOne(path, mode)) ? path : undefined
  } catch (error) {
    const above = dirname(path)
    if (!isCode(error, 'ENOENT') || above === path) throw error
    const first = await makeDirectories(above, mode)
    const made = await makeOne(path, mode)
    return first ?? (made ? path : undefined)
  }
}

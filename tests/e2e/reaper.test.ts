import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { transformWithOxc } from 'vite'
import { expect, it } from 'vitest'
import { eventually, makeTemporaryDirectory } from '../fixtures.js'
import { reap } from '../reaper.js'

const source = fileURLToPath(new URL('../reaper.ts', import.meta.url))

/** Tells that it has begun, and goes on for longer than any test. */
const endless = `console.log('begun'); setInterval(() => undefined, 1_000)`

/** Ends, as a worker of vitest's may, with two processes under way, of which one has stopped, and files in a directory. */
async function startWorker(directory: string): Promise<ChildProcess> {
  const { code } = await transformWithOxc(readFileSync(source, 'utf8'), source)
  const script = `${code}
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
const start = async () => {
  const child = spawn(process.execPath, ['-e', ${JSON.stringify(endless)}], { stdio: ['ignore', 'pipe', 'inherit'] })
  reap(child)
  await once(child.stdout, 'data')
  return child
}
const [ended, running, stopped] = [await start(), await start(), await start()]
ended.kill('SIGKILL')
await once(ended, 'close')
stopped.kill('SIGSTOP')
removeAtEnd(process.argv[1])
writeFileSync(process.argv[1] + '/log', 'x')
console.log(JSON.stringify([running.pid, stopped.pid]))
`
  const argv = ['--input-type=module', '-e', script, directory]
  return spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit'] })
}

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0)
    // Where nobody waits for orphans, what has ended stays as a zombie.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch (error) {
    if (['ESRCH', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) return false
    throw error
  }
}

it('what a killed worker had started ends, and its directories are removed', async () => {
  const directory = makeTemporaryDirectory()
  const worker = await startWorker(directory)
  reap(worker)
  const [line] = (await once(createInterface(worker.stdout!), 'line')) as [string]
  const pids = JSON.parse(line) as number[]
  expect(pids.map(runs)).toEqual([true, true])
  worker.kill('SIGKILL')
  await eventually('all have ended', () => !pids.some(runs))
  await eventually('the directory is gone', () => !existsSync(directory))
})

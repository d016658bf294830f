import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { eventually, freePorts, makeTemporaryDirectory, type RunningProgram, startLocalCluster } from '../fixtures.js'

function pids(program: RunningProgram): number[] {
  return [...program.output.matchAll(/\(pid (\d+)/g)].map(([, pid]) => Number(pid))
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

it('three nodes come up, show a key through another node, leave nothing behind, and find their data again', async () => {
  const free = await freePorts(6)
  const [ports, httpPorts] = [free.slice(0, 3), free.slice(3)]
  const data = makeTemporaryDirectory()
  await using first = startLocalCluster(ports, data, httpPorts)
  await eventually('it is up', () => first.output.includes('the cluster is up'))
  const [, url] = /over HTTP: curl (\S+)/.exec(first.output)!
  expect(url).toBe(`http://127.0.0.1:${httpPorts[2]}/kv/hello`)
  expect(await (await fetch(url!)).json()).toMatchObject({ found: true, nodeId: 'n3' })
  const [, written] = /put hello '(.*)'/.exec(first.output)!
  expect(first.output).toContain(`--endpoints 127.0.0.1:${ports[2]} get hello\n${written}\n`)
  expect(first.diagnostics).toContain('no such key')
  const nodes = pids(first)
  expect(nodes).toHaveLength(3)
  if (process.platform === 'linux') {
    const environments = nodes.map((pid) => readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0'))
    for (const environment of environments) expect(environment).toContain('MALLOC_MMAP_THRESHOLD_=524288')
  }
  first.signal('SIGINT')
  expect(await first.end()).toEqual({ status: 0, signal: null })
  expect(nodes.filter(isAlive)).toEqual([])
  for (const id of ['n1', 'n2', 'n3']) {
    expect(readFileSync(join(data, `${id}.log`), 'utf8')).toContain('"msg":"stopped"')
  }

  await using second = startLocalCluster(ports, data)
  await eventually('it is up again', () => second.output.includes('the cluster is up'))
  expect(second.output).toContain('the key of an earlier run is still there')
  expect(second.output).toContain(`get hello\n${written}\n`)
  second.signal('SIGTERM')
  expect(await second.end()).toEqual({ status: 0, signal: null })
})

it('a port in use ends it with the reason, and leaves nothing behind', async () => {
  const [first, second, taken] = await freePorts(3)
  const holder = createServer().listen(taken, '127.0.0.1')
  await once(holder, 'listening')
  await using program = startLocalCluster([first!, second!, taken!], makeTemporaryDirectory())
  expect(await program.end()).toEqual({ status: 1, signal: null })
  expect(program.diagnostics).toContain(`cannot listen on 127.0.0.1:${taken}: another process`)
  expect(pids(program).filter(isAlive)).toEqual([])
  holder.close()
})

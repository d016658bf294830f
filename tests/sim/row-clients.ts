import type { SimCluster } from './sim-cluster.js'

/** One key with one writer: it writes 1, 2, 3 and so on, each after the one before was acknowledged. */
interface Row {
  readonly key: string
  acknowledged: number
  tried: number
  /** The newest that a reader has been told. */
  seen: number
  /** Nobody knows what became of its last write: it is written no further. */
  ended: boolean
}

const rowsAtATime = 4

/**
 * Clients that write and read at all nodes that run, and hold what they are told to what was promised: a read that begins
 * after a write was acknowledged, or after another read, is not older than that.
 */
export class RowClients {
  readonly rows: Row[] = []
  readonly wrong: string[] = []
  operations = 0
  readonly failures: string[] = []
  readonly #cluster: SimCluster
  readonly #running: Promise<void>[] = []
  #stopped = false

  constructor(cluster: SimCluster) {
    this.#cluster = cluster
    for (let i = 0; i < rowsAtATime; i++) this.#running.push(this.#write(i), this.#read(i))
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#cluster.settle(Promise.all(this.#running))
  }

  /** Through every node, after all is over. */
  async readAll(names: readonly string[]): Promise<void> {
    for (const row of this.rows) {
      for (const via of names)
        this.#check(row, row.acknowledged, await this.#cluster.settle(this.#cluster.get(via, row.key)))
    }
  }

  async #write(lane: number): Promise<void> {
    for (let i = lane; !this.#stopped; i++) {
      let row = this.rows[lane]
      if (row === undefined || row.ended) {
        row = { key: `row ${lane} ${i}`, acknowledged: 0, tried: 0, seen: 0, ended: false }
        // The one that has ended is read on.
        if (this.rows[lane] !== undefined) this.rows.push(this.rows[lane]!)
        this.rows[lane] = row
      }
      row.tried++
      const value = row.tried
      const done = await this.#outcome(this.#cluster.put(this.#via(i), row.key, String(value)))
      if (done === undefined) row.ended = true
      else row.acknowledged = value
    }
  }

  async #read(lane: number): Promise<void> {
    for (let i = lane; !this.#stopped; i++) {
      const row = this.rows[i % Math.max(1, this.rows.length)]
      if (row === undefined) {
        await this.#pause(5)
        continue
      }
      const atLeast = Math.max(row.acknowledged, row.seen)
      const read = await this.#outcome(this.#cluster.get(this.#via(i + 1), row.key).then((value) => ({ value })))
      if (read !== undefined) this.#check(row, atLeast, read.value)
    }
  }

  #check(row: Row, atLeast: number, value: string | undefined): void {
    const found = Number(value ?? 0)
    if (found < atLeast || found > row.tried) {
      this.wrong.push(`${row.key} is ${found}, and was ${atLeast} at ${Math.round(this.#cluster.world.nowMs)} ms`)
    }
    row.seen = Math.max(row.seen, found)
  }

  #via(i: number): string {
    const cluster = this.#cluster
    // Who has just started is not linked with all others yet, and says so: that is another story.
    const fit = cluster.runningNames.filter((name) => {
      const node = cluster.node(name)
      const others = node.topology?.members.filter(({ id }) => cluster.runningNames.includes(id)) ?? []
      // Nor is the story here that of clients which go on asking a node that has left.
      const leaves = node.topology?.members.some(({ id, state }) => id === name && state === 'left') === true
      return node.phase === 'serving' && !leaves && others.every(({ id }) => node.linked(id))
    })
    const names = fit.length > 0 ? fit : cluster.runningNames
    return names[i % names.length]!
  }

  /** What came of an operation; undefined: it failed, or its node has died. */
  async #outcome<T>(operation: Promise<T>): Promise<T | undefined> {
    this.operations++
    const failed = (error: Error): undefined => void this.failures.push(error.message)
    const silent = async (): Promise<undefined> => {
      await this.#pause(6_000)
      return undefined
    }
    const outcome = await Promise.race([operation.catch(failed), silent()])
    await this.#pause(40)
    return outcome as T | undefined
  }

  #pause(ms: number): Promise<undefined> {
    return new Promise((resolve) => {
      this.#cluster.process('clients').clock.setTimer(ms, () => resolve(undefined))
    })
  }
}

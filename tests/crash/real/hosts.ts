import { eventually, type Place, RunningProgram, tryCommand } from '../../fixtures.js'

/*
 * Hosts on a switch. Each host is a network namespace with one address, and so is the switch that they are plugged into.
 * No namespace has a name: each is held by a process that waits for the end of its standard input, which comes with the
 * end of this process at the latest, however it ends. The kernel then removes the namespaces and all that is in them,
 * this process's own end of its cable included. Servers on hosts die with the thread that started them.
 *
 * Faults are filters in the switch (classic BPF, which needs no module): what each port sends is dropped, or lost by
 * chance, by the address of its sender. As behind a firewall, ARP passes, and nobody is told that his packets are gone.
 */

const root = 'only root can plug itself into a network of namespaces'
/** Programs that end with 0 where everything is permitted that hosts need, and leave nothing behind. */
const needs: readonly (readonly [why: string, script: string])[] = [
  ['nsenter, unshare, setpriv, ip or tc is missing', 'command -v nsenter unshare setpriv ip tc'],
  [
    'a bridge cannot be made in a namespace of its own, or filtered there (unshare, ip, tc)',
    "unshare -n sh -e -c 'ip link add name b type bridge; ip link add name a type veth peer name z; " +
      'ip link set dev a master b; tc qdisc add dev a clsact; tc filter add dev a egress bpf da bytecode "1,6 0 0 0"\'',
  ],
  [
    'no network device can be made here',
    'ip link add name kv-probe$$ type veth peer name kv-probf$$ && ip link del dev kv-probe$$',
  ],
]

/** Why there can be no hosts here; undefined: there can. */
export function whyNoHosts(): string | undefined {
  if (process.getuid?.() !== 0) return root
  return needs.find(([, script]) => tryCommand('sh', '-c', script) === undefined)?.[0]
}

/** Networks of 254 addresses for measurements (RFC 2544), which nobody routes. */
const networks = 512
const port = 50_051
/** Of the 254: of this process, of the first host, and of nobody. */
const [ownPlace, firstPlace, nobodysPlace] = [1, 11, 254] as const

/** A host's name for faults: its index; `here` is this process, and everything else that runs beside it. */
export type HostName = number | 'here'

/** Networks made by this process. */
let made = 0

export class Hosts implements AsyncDisposable {
  /** Where servers can run. */
  readonly places: readonly Place[]
  readonly #network: string
  readonly #switch: RunningProgram
  readonly #holders: readonly RunningProgram[]
  /** The share of packets that is lost, by where they come from and where they go to: `places.length` is this process. */
  readonly #lost: number[][]

  private constructor(network: string, theSwitch: RunningProgram, holders: readonly RunningProgram[]) {
    this.#network = network
    this.#switch = theSwitch
    this.#holders = holders
    this.#lost = Array.from({ length: holders.length + 1 }, () => Array<number>(holders.length + 1).fill(0))
    this.places = holders.map(({ pid }, i) => ({
      host: `${network}.${firstPlace + i}`,
      port,
      under: ['nsenter', '-t', `${pid}`, '-n', 'setpriv', '--pdeathsig', 'KILL'],
    }))
  }

  /** So many hosts, and this process, all plugged in. */
  static async make(count: number): Promise<Hosts> {
    const started: RunningProgram[] = []
    const hold = async (command: string, ...argv: readonly string[]): Promise<RunningProgram> => {
      const holder = new RunningProgram(command, argv)
      started.push(holder)
      await eventually('a namespace is held', () => {
        if (!holder.runs) throw new Error(`no namespace: ${holder.diagnostics}`)
        return holder.output.includes('held')
      })
      return holder
    }
    try {
      const network = freeNetwork()
      const bridge = 'ip link add name bridge type bridge && ip link set dev bridge up && echo held && exec cat'
      const theSwitch = await hold('unshare', '-n', 'sh', '-c', bridge)
      const alone = 'ip link set dev lo up && echo held && exec cat'
      const holders = await Promise.all(Array.from({ length: count }, () => hold('unshare', '-n', 'sh', '-c', alone)))
      const hosts = new Hosts(network, theSwitch, holders)
      await hosts.#plugAllIn()
      return hosts
    } catch (error) {
      await Promise.all(started.map((holder) => holder[Symbol.asyncDispose]()))
      throw error
    }
  }

  /** `host:port` at which nobody is: calls are never answered. */
  get nowhere(): string {
    return `${this.#network}.${nobodysPlace}:${port}`
  }

  /** From now on so much of what `from` send to `to` is lost, 0 to 1; the other direction stays as it is. */
  async lose(share: number, from: readonly HostName[], to: readonly HostName[]): Promise<void> {
    for (const one of from) for (const other of to) this.#lost[this.#place(one)]![this.#place(other)] = share
    await this.#filter(to.map((host) => this.#place(host)))
  }

  /** From now on nothing passes between these and those. */
  async part(these: readonly HostName[], those: readonly HostName[]): Promise<void> {
    for (const [from, to] of [
      [these, those],
      [those, these],
    ] as const) {
      for (const one of from) for (const other of to) this.#lost[this.#place(one)]![this.#place(other)] = 1
    }
    await this.#filter([...these, ...those].map((host) => this.#place(host)))
  }

  /** Pulls out the cable of a host. */
  async unplug(host: number): Promise<void> {
    await this.#inSwitch([`ip link set dev p${host} down`])
  }

  /** From now on everything passes, and all cables are plugged in. */
  async heal(): Promise<void> {
    for (const row of this.#lost) row.fill(0)
    await this.#filter(this.#lost.keys())
    await this.#inSwitch(this.places.map((_, i) => `ip link set dev p${i} up`))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#switch, ...this.#holders].map((holder) => holder[Symbol.asyncDispose]()))
  }

  #place(host: HostName): number {
    return host === 'here' ? this.places.length : host
  }

  #addressOf(place: number): string {
    return `${this.#network}.${place === this.places.length ? ownPlace : firstPlace + place}`
  }

  /** Packets are what TCP makes of them, not the large pieces that local devices hand on: loss is of packets. */
  async #plugAllIn(): Promise<void> {
    const into = `netns ${this.#switch.pid}`
    for (const [i, { pid }] of this.#holders.entries()) {
      await run('nsenter', '-t', `${pid}`, '-n', 'sh', '-e', '-c', plug('cable', `p${i}`, into, this.#addressOf(i)))
    }
    const own = `kv${process.pid}-${made}`
    await run('sh', '-e', '-c', plug(own, `p${this.places.length}`, into, this.#addressOf(this.places.length)))
    await this.#inSwitch(
      Array.from(this.#lost.keys()).flatMap((i) => [
        `ip link set dev p${i} gso_max_segs 1 master bridge up`,
        `tc qdisc add dev p${i} clsact`,
      ]),
    )
    await this.#filter(this.#lost.keys())
  }

  async #filter(places: Iterable<number>): Promise<void> {
    const replace = (to: number): string => {
      const program = dropping(this.#lost.map((row, from) => [this.#addressOf(from), row[to]!]))
      return `tc filter replace dev p${to} egress pref 1 handle 1 bpf da bytecode '${program}'`
    }
    await this.#inSwitch([...new Set(places)].map(replace))
  }

  async #inSwitch(commands: readonly string[]): Promise<void> {
    await run('nsenter', '-t', `${this.#switch.pid}`, '-n', 'sh', '-e', '-c', commands.join('\n'))
  }
}

function plug(own: string, other: string, into: string, address: string): string {
  return [
    `ip link add name ${own} type veth peer name ${other} ${into}`,
    `ip address add ${address}/24 dev ${own}`,
    `ip link set dev ${own} gso_max_segs 1 up`,
  ].join('\n')
}

async function run(command: string, ...argv: readonly string[]): Promise<void> {
  await using program = new RunningProgram(command, argv)
  const { status } = await program.end()
  if (status !== 0) throw new Error(`${argv.join(' ')}: ended with ${status}: ${program.diagnostics}`)
}

/** The first three numbers of addresses that this machine has none of. Other processes begin to look elsewhere. */
function freeNetwork(): string {
  const taken = tryCommand('ip', '-4', '-oneline', 'address', 'show') ?? ''
  const routed = tryCommand('ip', '-4', 'route', 'show', 'table', 'all') ?? ''
  for (let i = 0; i < networks; i++) {
    const n = (process.pid * 7 + made + i) % networks
    const network = `198.${18 + (n >> 8)}.${n & 255}`
    if (taken.includes(` ${network}.`) || routed.includes(`${network}.`)) continue
    made++
    return network
  }
  throw new Error('all networks for measurements are taken')
}

/** Verdicts of a filter, as linux/pkt_cls.h has them. */
const [pass, drop] = [0, 2] as const

/**
 * A program of classic BPF, as `tc` takes it, on Ethernet frames: drops those with IPv4 inside from these addresses, or
 * so much of them. Opcodes are of linux/filter.h, jumps count the instructions that are passed over.
 */
function dropping(shares: readonly (readonly [address: string, share: number])[]): string {
  const [loadHalf, loadWord, ifEqual, ifAbove, end] = [40, 32, 21, 37, 6] as const
  const [etherTypeAt, senderAt, randomAt, ipv4] = [12, 26, 4_294_963_256, 0x800] as const
  const program = [
    `${loadHalf} 0 0 ${etherTypeAt}`,
    `${ifEqual} 1 0 ${ipv4}`,
    `${end} 0 0 ${pass}`,
    `${loadWord} 0 0 ${senderAt}`,
  ]
  for (const [address, share] of shares) {
    if (share === 0) continue
    const number = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
    program.push(`${ifEqual} 0 4 ${number}`, `${loadWord} 0 0 ${randomAt}`)
    program.push(`${ifAbove} 1 0 ${Math.round(share * 0xffff_ffff)}`, `${end} 0 0 ${drop}`, `${end} 0 0 ${pass}`)
  }
  program.push(`${end} 0 0 ${pass}`)
  return [program.length, ...program].join(',')
}

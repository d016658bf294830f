import { PassThrough } from 'node:stream'
import { type ClusterStatus, type HandoverStatus, KvError, type Member } from '@quorumkv/client'
import { describe, expect, it } from 'vitest'
import { FakeClient, FakeIo, type FakeIoOptions, somePlan } from './fakes.test-support.js'
import { run } from './program.js'

async function kv(args: string, client: FakeClient, options: FakeIoOptions = {}) {
  const io = new FakeIo({ timing: client.timing, ...options })
  const status = await run(args.split(' '), io, () => client)
  return { status, out: io.stdout.text, err: io.stderr.text, io }
}

/** Somebody at a terminal who answers so. */
function answering(answer: string): FakeIoOptions {
  const stdin = Object.assign(new PassThrough(), { isTTY: true })
  stdin.write(`${answer}\n`)
  return { terminal: true, stdin, env: { NO_COLOR: '1' } }
}

function handover(change: Partial<HandoverStatus> = {}): HandoverStatus {
  const report = { nodeId: 'node-1', slots: 1_000, done: 250, bytes: 2_097_152, remainingBytes: 1, remainingMs: 90_000 }
  return {
    ...{ since: 8, step: 'both', joining: [], waitsFor: ['node-1'] },
    changes: [{ kind: 'decommission', id: 'node-3', weight: undefined, by: undefined }],
    reports: [{ ...report, obstacle: '' }],
    ...change,
  }
}

function states(client: FakeClient, change: Partial<Member>): readonly Member[] {
  return client.members.map((member) => (member.id === 'node-3' ? { ...member, ...change } : member))
}

/** What is seen while node-3 goes. */
function going(client: FakeClient): Partial<ClusterStatus>[] {
  return [
    // Of one that lags behind.
    { epoch: 7 },
    { epoch: 8, planned: handover().changes },
    { epoch: 9, members: states(client, { state: 'leaving' }), handover: handover() },
    { epoch: 11, members: states(client, { state: 'left' }), planned: handover().changes },
    { epoch: 12, members: client.members.slice(0, 2) },
  ]
}

describe('changes of the ring', () => {
  it.each([
    ['decommission node-3', ['decommission', 'node-3']],
    ['remove node-3', ['remove', 'node-3']],
    ['replace node-3 --by node-4', ['replace', 'node-3', 'node-4']],
    ['reweight node-3 5', ['reweight', 'node-3', 5]],
  ])('%s: planned, then made', async (args, call) => {
    const client = new FakeClient()
    const { status, err } = await kv(`node ${args} --yes --no-wait`, client)
    expect(status).toBe(0)
    expect(client.operator.calls).toEqual([[`plan ${call[0]}`, ...call.slice(1)], call])
    expect(err).toContain('1,500 slots get other owners: 1,600 copies to make, about 4.8 MiB, some 1m 15s at')
    expect(err).toContain('meanwhile 1 member may fail without a slot losing its quorum (now 1, afterwards 1)')
    expect(err).toMatch(/from +to +slots\n +node-3 +node-1 +900\n +node-3 +node-2 +700\n/)
  })

  it.each([
    ['cancel node-3', 'node-3'],
    ['cancel', undefined],
  ])('%s: what the plan was about is called off, and nothing that has begun since', async (args, id) => {
    const client = new FakeClient()
    expect((await kv(`node ${args} --yes --no-wait`, client)).status).toBe(0)
    expect(client.operator.calls).toEqual([
      ['plan cancel', id, undefined],
      ['cancel', id, somePlan.epoch],
    ])
  })

  it('without a terminal and without --yes they are refused with status 2, and nothing is changed', async () => {
    for (const args of ['node remove node-3', '--json node remove node-3']) {
      const client = new FakeClient()
      const { status, err } = await kv(args, client)
      expect(status).toBe(2)
      expect(err).toContain('--yes')
      expect(client.operator.calls).toEqual([['plan remove', 'node-3']])
    }
  })

  it('on a terminal they ask, and only yes is yes', async () => {
    for (const [answer, made] of [
      ['y', true],
      ['YES', true],
      ['', false],
      ['n', false],
      ['yeah', false],
    ] as const) {
      const client = new FakeClient()
      const { status, err } = await kv('node decommission node-3 --no-wait', client, answering(answer))
      expect(err).toContain('decommission node-3? [y/N]')
      expect(status).toBe(made ? 0 : 1)
      expect(client.operator.calls).toHaveLength(made ? 2 : 1)
    }
  })

  it('--dry-run shows the plan on standard output and changes nothing', async () => {
    const client = new FakeClient()
    client.operator.plan = { ...somePlan, spareMeanwhile: 0, begins: 'queued', bytes: undefined, durationMs: undefined }
    const { status, out } = await kv('node reweight node-3 2 --dry-run', client)
    expect(status).toBe(0)
    expect(out).toMatch(/^reweight node-3 to 2:\n {2}it waits until what is before it is over/)
    expect(out).toContain('no member may fail')
    client.operator.plan = { ...somePlan, spareMeanwhile: -1, slots: 0, copies: 0, moves: [], begins: 'at-once' }
    const worse = await kv('node remove node-3 --dry-run', client)
    expect(worse.out).toContain('slots without a quorum, which lack 1 owner')
    expect(worse.out).toContain('no data has to be moved')
    expect(JSON.parse((await kv('--json node remove node-3 --dry-run', client)).out)).toMatchObject({
      ...{ kind: 'remove', id: 'node-3', plan: { spareMeanwhile: -1 } },
    })
    expect(client.operator.calls.every(([call]) => String(call).startsWith('plan'))).toBe(true)
  })

  it('a change is followed to its end, whatever a node says that lags behind', async () => {
    const client = new FakeClient()
    client.statuses = going(client)
    const { status, out } = await kv('node decommission node-3 --yes', client)
    expect([status, out]).toEqual([0, 'decommission node-3: done\n'])
    expect(client.statuses).toHaveLength(1)
    client.statuses = going(client)
    const json = await kv('--json node decommission node-3 --yes', client)
    expect(JSON.parse(json.out)).toMatchObject({ kind: 'decommission', id: 'node-3', epoch: 8, done: true })
  })

  it('a replacement is over when the new one serves; a new weight when it is in force', async () => {
    const client = new FakeClient()
    const newcomer: Member = { ...client.members[2]!, id: 'node-4', state: 'arrived' }
    const kept = client.members.slice(0, 2)
    client.statuses = [
      {
        epoch: 9,
        members: [...client.members, { ...newcomer, state: 'joining' }],
        handover: handover({ changes: [{ kind: 'replace', id: 'node-3', weight: undefined, by: 'node-4' }] }),
      },
      { epoch: 10, members: [...kept, newcomer] },
      { epoch: 11, members: [...kept, { ...newcomer, state: 'serving' }] },
    ]
    expect((await kv('node replace node-3 --by node-4 --yes', client)).status).toBe(0)
    expect(client.statuses).toHaveLength(1)
    const planned = [{ kind: 'reweight', id: 'node-3', weight: 5, by: undefined } as const]
    client.statuses = [
      { epoch: 8, planned },
      { epoch: 9, members: states(client, { weight: 5 }) },
    ]
    expect((await kv('node reweight node-3 5 --yes', client)).status).toBe(0)
    expect(client.statuses).toHaveLength(1)
  })

  it('one that somebody calls off fails, and so does one that takes longer than --timeout', async () => {
    const client = new FakeClient()
    client.statuses = [{ epoch: 9, handover: handover() }, { epoch: 10 }]
    const { status, err } = await kv('node decommission node-3 --yes', client)
    expect(status).toBe(1)
    expect(err).toContain('decommission node-3 was called off')
    client.statuses = [{ epoch: 9, members: states(client, { state: 'leaving' }), handover: handover() }]
    const late = await kv('--timeout 3h node decommission node-3 --yes', client)
    expect(late.status).toBe(1)
    expect(late.err).toContain('decommission node-3 is not over yet. The cluster goes on by itself')
  })

  it('a cluster that is silent for a moment is asked again, and not for ever', async () => {
    const client = new FakeClient()
    client.statuses = going(client)
    let calls = 0
    const { status } = client
    client.status = async () => {
      if (++calls % 2 === 1) throw new KvError('unavailable', 'nobody answers')
      return await status.call(client)
    }
    expect((await kv('node decommission node-3 --yes', client)).status).toBe(0)
    client.status = () => Promise.reject(new KvError('unavailable', 'nobody answers'))
    expect((await kv('node decommission node-3 --yes', client)).err).toContain('nobody answers')
  })

  it.each([
    'node',
    'node remove',
    'node replace node-3',
    'node reweight node-3 0',
    'node reweight node-3',
    'node nonsense',
  ])('%j is refused with status 2, and nothing is sent', async (args) => {
    const client = new FakeClient()
    expect((await kv(args, client)).status).toBe(2)
    expect(client.operator.calls).toEqual([])
  })
})

describe('removal by force', () => {
  const args = '--endpoints one:1 node remove node-2 node-3 --force-unsafe'

  it('needs the epoch, one endpoint and --yes, says what it risks, and changes nothing without them', async () => {
    for (const [given, missing] of [
      [args, '--epoch'],
      [`${args} --epoch 7`, '--yes'],
      [`${args.replace('one:1', 'one:1,two:1')} --epoch 7 --yes`, 'one living node'],
      ['node remove node-2 node-3 --yes', 'only --force-unsafe takes several'],
      ['node remove node-2 --epoch 7 --yes', 'goes with --force-unsafe'],
    ] as const) {
      const client = new FakeClient()
      const { status, err } = await kv(given, client, answering('yes'))
      expect([given, status]).toEqual([given, 2])
      expect(err).toContain(missing)
      expect(client.operator.calls.every(([call]) => call === 'plan forceRemove')).toBe(true)
    }
  })

  it('is asked of that node, and lists first what begins empty', async () => {
    const client = new FakeClient()
    const { status, out, err } = await kv(`${args} --epoch 7 --yes`, client)
    expect(status).toBe(0)
    expect(err).toContain('4 slots have no copy left, and begin empty: 3-5, 9\n')
    expect(err).toContain('12 slots have fewer copies left than a read asks')
    expect(out).toBe('node-2, node-3 removed by node-1 alone; the epoch is 1000007\n')
    const call = ['one:1', ['node-2', 'node-3'], 7]
    expect(client.operator.calls).toEqual([
      ['plan forceRemove', ...call],
      ['forceRemove', ...call],
    ])
    const dry = await kv(`${args} --epoch 7 --dry-run`, client)
    expect([dry.status, client.operator.calls.length]).toEqual([0, 3])
    expect(dry.out).toContain('begin empty: 3-5, 9')
  })
})

describe('raise-level', () => {
  it('asks, and says what it comes to; with nothing newer it does nothing', async () => {
    const client = new FakeClient()
    expect(await kv('raise-level --dry-run', client)).toMatchObject({
      ...{ status: 0, out: 'the feature level would rise from 1 to 2\n' },
    })
    expect(await kv('raise-level', client)).toMatchObject({ status: 2 })
    expect(client.operator.calls.every(([call]) => call === 'plan raiseLevel')).toBe(true)
    expect((await kv('raise-level', client, answering('yes'))).out).toBe('the feature level is 2\n')
    expect(JSON.parse((await kv('--json raise-level --yes', client)).out)).toEqual({
      before: 1,
      after: 2,
      raised: true,
    })
    client.operator.level = 1
    client.operator.calls.length = 0
    expect((await kv('raise-level --yes', client)).out).toContain('the feature level is 1, and not all')
    expect(client.operator.calls).toEqual([['plan raiseLevel']])
  })

  it('status says when all members could go by a newer one', async () => {
    const client = new FakeClient()
    expect((await kv('status', client)).out).not.toContain('feature level')
    client.members = client.members.map((member) => ({ ...member, levels: { min: 1, max: 2 } }))
    expect((await kv('status', client)).out).toContain('feature level 1; the software of all members goes by 2')
  })
})

describe('going down', () => {
  it('safe-to-stop is status 0 for yes, and 1 for no with the reason', async () => {
    const client = new FakeClient()
    expect(await kv('node safe-to-stop node-1', client)).toMatchObject({ status: 0, out: 'node-1 may be stopped\n' })
    client.operator.verdict = { safe: false, reason: '7 of the slots' }
    const no = await kv('node safe-to-stop node-1', client)
    expect(no).toMatchObject({ status: 1, out: 'node-1 must not be stopped now: 7 of the slots\n', err: '' })
    const json = await kv('--json node safe-to-stop node-1', client)
    expect([json.status, JSON.parse(json.out)]).toEqual([1, { id: 'node-1', safe: false, reason: '7 of the slots' }])
  })

  it('drain asks the member at its own address, and waits until nothing runs there', async () => {
    const client = new FakeClient()
    client.operator.running = 3
    client.statuses = [{ operations: 2 }, { operations: 0 }]
    const { status, out } = await kv('node drain node-2', client)
    expect([status, out]).toEqual([0, 'node-2 drains; nothing runs there any more\n'])
    expect(client.operator.calls).toEqual([['drain', '127.0.0.1:50052']])
    expect((await kv('node drain node-2 --no-wait', client)).out).toBe(
      'node-2 drains; still running there: 3 operations\n',
    )
    client.statuses = [{ operations: 1 }]
    expect(await kv('--timeout 5s node drain node-2', client)).toMatchObject({
      ...{ status: 1, err: expect.stringContaining('1 operation still ran there') },
    })
    expect(await kv('node drain node-9', client)).toMatchObject({ status: 2 })
  })

  it('the rate of streaming is shown and set, for all or for one', async () => {
    const client = new FakeClient()
    expect((await kv('node stream-rate', client)).out).toMatch(/node-2 +1\.0 MiB\/s/)
    await kv('node stream-rate 64MiB --node node-2', client)
    expect(client.operator.calls.at(-1)).toEqual(['streamRate', '127.0.0.1:50052', 67_108_864])
    for (const rate of ['fast', '0', '-1', '1TiB']) {
      expect((await kv(`node stream-rate -- ${rate}`, client)).status).toBe(2)
    }
  })
})

describe('status and ring while something goes on', () => {
  it('status says on how many members a key is now, and on how many it is to be', async () => {
    const client = new FakeClient()
    expect((await kv('status', client)).out).toContain('every key on 3 members; reads ask 2, writes wait for 2\n')
    client.members = [...states(client, { state: 'joining' })]
    expect((await kv('status', client)).out).toContain(
      'every key on 2 members (on 3 when there are as many); reads ask 2',
    )
    client.members = client.members.slice(0, 1)
    expect((await kv('status', client)).out).toContain(
      'every key on 1 member (on 3 when there are as many); reads ask 1',
    )
  })

  it('status shows states, the handover with what is left, and what is planned', async () => {
    const client = new FakeClient()
    client.members = [...states(client, { state: 'leaving' })]
    client.handover = handover({ waitsFor: ['node-1', 'node-3'], joining: ['node-4'] })
    client.planned = [{ kind: 'replace', id: 'node-1', weight: undefined, by: 'node-5' }]
    client.draining.add('node-2')
    const { out } = await kv('status', client)
    expect(out).toContain(
      'a handover runs since epoch 8 (node-4 joins, decommission node-3): 250 of 1,000 slots there, 2.0 MiB moved, ' +
        'about 1m 30s left\n  it waits for node-3, which is down\nplanned: replace node-1 by node-5\n',
    )
    expect(out).toMatch(/node-2 .* serving, draining/)
    expect(out).toMatch(/node-3 .* leaving/)
    const seen = JSON.parse((await kv('--json status', client)).out)
    expect(seen).toMatchObject({ handover: { since: 8, step: 'both' }, planned: [{ kind: 'replace', by: 'node-5' }] })
    expect(seen.members[1]).toMatchObject({ id: 'node-2', draining: true })
  })

  it('ring shows both sides of a handover', async () => {
    const client = new FakeClient()
    expect((await kv('ring', client)).out).not.toContain('then')
    client.handover = handover()
    const { out } = await kv('ring', client)
    expect(out).toContain('the column "then" shows the owners to come')
    const { members } = JSON.parse((await kv('--json ring', client)).out)
    expect(members[0]).toMatchObject({ state: 'serving', slots: 16, otherSlots: 16 })
    client.handover = handover({ step: 'switch' })
    expect((await kv('ring', client)).out).toContain('the column "before" shows the owners from before')
  })

  it('ring shows whether slots keep their quorum when a zone is lost', async () => {
    const client = new FakeClient()
    client.members = client.members.map((member, i) => ({ ...member, zone: `z${i + 1}` }))
    const apart = JSON.parse((await kv('--json ring', client)).out)
    expect(apart.zones).toEqual(
      ['z1', 'z2', 'z3'].map((zone) => ({ zone, members: 1, slots: 16, doubled: 0, needed: 0 })),
    )
    expect((await kv('ring', client)).out).toMatch(/z3 +1 +16 +0 +all slots keep their quorum/)
    client.members[1] = { ...client.members[1]!, zone: 'z1' }
    const { out } = await kv('ring', client)
    expect(out).toMatch(/z1 +2 +32 +16 +16 slots lose their quorum/)
  })
})

import { runSeed } from './play/run.js'

const from = Number(process.argv[2] ?? 1)
const count = Number(process.argv[3] ?? 1)
const started = performance.now()
let simulated = 0
for (let seed = from; seed < from + count; seed++) {
  const t = performance.now()
  const report = await runSeed(seed, process.env['TRACE'] ? { tell: (t, who, what) => console.log(t.toFixed(1), who, what) } : {})
  simulated += report.simulatedMs
  const { calls, returned, checked, acknowledged, faults, events, hash, violations } = report
  console.log(
    seed,
    hash,
    `${(performance.now() - t).toFixed(0)} ms`,
    { calls, returned, checked, acknowledged, events },
    JSON.stringify(faults),
  )
  for (const violation of violations) console.log('   VIOLATION', violation.slice(0, 600))
}
console.log((performance.now() - started) / 1000, 's;', simulated / 3600000, 'h')

import { Frames } from '../../../server/src/feed/frames.js'
import { healthOf } from '../../../server/src/feed/health.js'
import { clusterOf, nodeOf } from '../../../server/src/feed/view.test-support.js'
import { mutateText } from '../mutate.js'
import { Fault, type Target } from '../target.js'

const life = 'life1'
const frames = 40

/** What pages say that they have seen last. Whatever that is, they get what is newest, or what comes next, and never nothing. */
export const lastEventId: Target = {
  name: 'last-event-id',
  share: 10,
  async open() {
    const feed = new Frames(life)
    for (let i = 0; i < frames; i++) {
      const observed = { ...clusterOf([nodeOf(1)]), atMs: i }
      feed.add({ ...observed, health: healthOf(observed) })
    }
    const corpus = ['1', '12', '39', '40', '41', '0', '-1', '1e1', ' 7', '9'.repeat(16)].map((number) =>
      Buffer.from(`${life}-${number}`),
    )
    return {
      make: (random) => mutateText(random, [...corpus, Buffer.from('other-12')], ['-', '0', '1e', '\0', 'life1', '+']),
      run: (input) => {
        const text = Buffer.from(input).toString('latin1')
        const seen = feed.seenBy(text)
        const honest = new RegExp(`^${life}-(\\d{1,15})(?:-|$)`).exec(text)
        const expected = honest === null || Number(honest[1]) > frames ? 0 : Number(honest[1])
        if (seen !== expected) throw new Fault(`${seen} was made of it`)
        const next = feed.after(seen)
        if ((next === undefined) !== (seen === frames)) throw new Fault('is told nothing, or twice the same')
        if (next !== undefined && (next.number <= seen || next.number > frames))
          throw new Fault(`goes on at ${next.number}`)
        return seen > 0 ? 'taken' : 'refused'
      },
    }
  },
}

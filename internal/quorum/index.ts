export { Tally, type Verdict } from './tally.js'

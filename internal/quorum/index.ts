export { countVoters, firstVoters, isMet, isWanted, type Quorum, type Quorums, quorumOf } from './quorum.js'
export { Tally, type Verdict } from './tally.js'

export { ClockDriftError, ClockRangeError, HybridClock, hlcMsMax } from './hlc.js'
export {
  compareHlc,
  compareVersions,
  type Hlc,
  hlcCounter,
  hlcFromBigint,
  hlcMs,
  hlcOf,
  hlcToBigint,
  type Version,
  zeroVersion,
} from './version.js'

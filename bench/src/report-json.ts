/** Changes when a reader of any report's JSON would have to; reports with a version of their own keep it. */
const formatVersion = 1

/** A report as `--json` prints it: one line. */
export function reportJson(report: object): string {
  return `${JSON.stringify({ formatVersion, ...report })}\n`
}

/** Text helpers of the commands. */

/**
 * Returns a number with its noun: `1 event`, `4,361 events`.
 * @param one the noun in the singular; its plural adds an s
 */
export function counted(many: number, one: string): string {
  return `${many.toLocaleString('en-US')} ${many === 1 ? one : `${one}s`}`
}

/** Prints a warning on standard error. @param what a sentence without its full stop */
export function warn(what: string): void {
  process.stderr.write(`WARNING: ${what}.\n`)
}

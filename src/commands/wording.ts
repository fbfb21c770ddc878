/** Words that commands say. */

/** `1 event`, `4,361 events`. @param one the noun in the singular, whose plural has an s */
export function counted(many: number, one: string): string {
  return `${many.toLocaleString('en-US')} ${many === 1 ? one : `${one}s`}`
}

/** Warns on standard error. @param what a sentence without its full stop */
export function warn(what: string): void {
  process.stderr.write(`WARNING: ${what}.\n`)
}

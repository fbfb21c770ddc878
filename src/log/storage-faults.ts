/**
 * Classifies errors of LevelDB and of the file system: damage, a full disk, or a fault that may be over at the next
 * try. Errors of LevelDB have no codes, so its messages are matched: "Corruption", or the system's text for the error.
 */
import { DaybookError, isDaybookError } from '../errors.js'

/** Error codes of the system, the texts that LevelDB prints for them, and advice for the operator. */
const SYSTEM_FAULTS: readonly { codes: readonly string[]; text: RegExp; advice: string }[] = [
  {
    codes: ['ENOSPC', 'EDQUOT'],
    text: /no space left|quota exceeded/i,
    advice: 'The disk is full: free some space on it'
  },
  {
    codes: ['EMFILE', 'ENFILE'],
    text: /too many open files/i,
    advice: 'The process has too many open files: raise the limit ("ulimit -n 65536", or LimitNOFILE= of the service)'
  },
  {
    codes: ['EACCES', 'EPERM', 'EROFS'],
    text: /permission denied|operation not permitted|read-only file system/i,
    advice: 'The process may not read or write there: check the owner and the mode of the directory and the file system'
  },
  {
    codes: ['ENOMEM'],
    text: /cannot allocate memory/i,
    advice: 'There is not enough memory: give the process or its container more memory'
  },
  {
    codes: ['EIO'],
    text: /input\/output error/i,
    advice: 'The disk reports errors: read the kernel log and check the disk'
  }
]

/** Yields the code and the message of an error and of each of its causes. */
function* causesOf(error: unknown): Generator<{ code: unknown; message: string }> {
  for (let one = error; one instanceof Error; one = one.cause) {
    yield { code: (one as NodeJS.ErrnoException).code, message: one.message }
  }
}

/** True when a write failed because the disk is full or the quota is exceeded. */
export function isDiskFull(error: unknown): boolean {
  return faultOf(error)?.codes.includes('ENOSPC') ?? false
}

/** True when an operation failed because the process or the machine has no free file descriptor. */
export function isOutOfDescriptors(error: unknown): boolean {
  return faultOf(error)?.codes.includes('EMFILE') ?? false
}

/**
 * True when a database cannot be read because it is damaged or a file of it is missing. A retry would fail in the same
 * way. All other faults may be temporary.
 */
export function isDatabaseDamaged(error: unknown): boolean {
  if (faultOf(error) !== undefined) return false
  for (const { code, message } of causesOf(error)) {
    if (code === 'index-damaged' || code === 'ENOTDIR' || code === 'EISDIR') return true
    if (/^Corruption:|No such file or directory$/.test(message)) return true
  }
  return false
}

/** Returns advice for the operator, a sentence without a full stop; undefined for an unknown kind of error. */
export function adviceFor(error: unknown): string | undefined {
  return faultOf(error)?.advice
}

function faultOf(error: unknown) {
  for (const { code, message } of causesOf(error)) {
    const fault = SYSTEM_FAULTS.find(({ codes, text }) => codes.includes(String(code)) || text.test(message))
    if (fault !== undefined) return fault
  }
  return undefined
}

/**
 * Returns the error `directory-unusable` with advice, for a part that could not be opened for another reason than
 * damage. Returns an error with another code than `directory-unusable` and `storage-failed` unchanged.
 * @param what name of the part in the message: `the index`
 */
export function openFailure(what: string, error: unknown): DaybookError {
  const isCoded = isDaybookError(error)
  if (isCoded && error.code !== 'directory-unusable' && error.code !== 'storage-failed') return error
  const { message } = error as Error
  const advice = adviceFor(error)
  let text = isCoded ? message : `${what} could not be opened: ${message}`
  if (advice !== undefined) {
    text = `${what} could not be opened: ${message}. Nothing was deleted. ${advice}, then start again`
  }
  return new DaybookError('directory-unusable', text, {}, error)
}

/**
 * Returns the error `read-only` for a write that failed because the disk is full. The first failed append then has the
 * same code as the appends that are refused after it. Returns any other error unchanged.
 */
export function refusedByFullDisk(error: DaybookError): DaybookError {
  if (error.code !== 'storage-failed' || !isDiskFull(error)) return error
  const unsure = error.details.written === 'unknown' ? ' The events of this request may or may not be in the log.' : ''
  return new DaybookError(
    'read-only',
    `The disk is full: appends are refused until there is space, reads are served.${unsure}`,
    { ...error.details, retry: true },
    error
  )
}

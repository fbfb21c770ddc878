/**
 * What an error of LevelDB or of the file system means: damage, a full disk, or something that may be over at the next
 * try. LevelDB has no codes. It says "Corruption", or what the system calls the error.
 */
import { DaybookError, isDaybookError } from '../errors.js'

/** Codes of the system, with what LevelDB prints for them, and what an operator can do. */
const SYSTEM_FAULTS: readonly { codes: readonly string[]; text: RegExp; advice: string }[] = [
  {
    codes: ['ENOSPC', 'EDQUOT'],
    text: /no space left|quota exceeded/i,
    advice: 'The disk is full: free some space on it'
  },
  {
    codes: ['EMFILE', 'ENFILE'],
    text: /too many open files/i,
    advice: 'The process may not open more files: raise the limit ("ulimit -n 65536", or LimitNOFILE= of the service)'
  },
  {
    codes: ['EACCES', 'EPERM', 'EROFS'],
    text: /permission denied|operation not permitted|read-only file system/i,
    advice: 'The process may not read or write there: check the owner and the mode of the directory and the file system'
  },
  {
    codes: ['ENOMEM'],
    text: /cannot allocate memory/i,
    advice: 'There is not enough memory: give the process or its container more'
  },
  {
    codes: ['EIO'],
    text: /input\/output error/i,
    advice: 'The disk gives errors: look at the messages of the kernel and check the disk'
  }
]

/** The error and those that caused it, each with its code and its text. */
function* causesOf(error: unknown): Generator<{ code: unknown; message: string }> {
  for (let one = error; one instanceof Error; one = one.cause) {
    yield { code: (one as NodeJS.ErrnoException).code, message: one.message }
  }
}

/** True when a write failed because the disk is full, or the quota is used up. */
export function isDiskFull(error: unknown): boolean {
  return faultOf(error)?.codes.includes('ENOSPC') ?? false
}

/** True when something failed because the process, or the machine, may open no more files and connections. */
export function isOutOfDescriptors(error: unknown): boolean {
  return faultOf(error)?.codes.includes('EMFILE') ?? false
}

/**
 * True when a database cannot be read because its content is wrong: something in it is damaged, or a file that it names
 * is not there. The next try would find the same. Everything else may pass.
 */
export function isDatabaseDamaged(error: unknown): boolean {
  if (faultOf(error) !== undefined) return false
  for (const { code, message } of causesOf(error)) {
    if (code === 'index-damaged' || code === 'ENOTDIR' || code === 'EISDIR') return true
    if (/^Corruption:|No such file or directory$/.test(message)) return true
  }
  return false
}

/** What an operator can do about the error, a sentence without a full stop; undefined when nothing special is known. */
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
 * The error of a part that could not be opened although nothing shows that it is damaged: it says what to do. An error of
 * another kind (the directory is in use, the server is stopping …) stays as it is.
 * @param what the part, for people: `the index`
 */
export function openFailure(what: string, error: unknown): DaybookError {
  const isCoded = isDaybookError(error)
  if (isCoded && error.code !== 'directory-unusable' && error.code !== 'storage-failed') return error
  const { message } = error as Error
  const advice = adviceFor(error)
  let says = isCoded ? message : `${what} could not be opened: ${message}`
  if (advice !== undefined) {
    says = `${what} could not be opened: ${message}. Nothing was deleted. ${advice}, then start again`
  }
  return new DaybookError('directory-unusable', says, {}, error)
}

/**
 * What a caller gets whose write met a full disk: the same code as those that come after it, while nothing is written.
 * Other errors stay as they are.
 */
export function refusedByFullDisk(error: DaybookError): DaybookError {
  if (error.code !== 'storage-failed' || !isDiskFull(error)) return error
  const unsure = error.details.written === 'unknown' ? ', and what was sent may or may not be in the log' : ''
  return new DaybookError(
    'read-only',
    `The disk is full${unsure}; reads go on.`,
    { ...error.details, retry: true },
    error
  )
}

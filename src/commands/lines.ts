/** The lines of an import: from a file or standard input, unpacked when they are gzip, told where they came from. */
import { createReadStream, statSync } from 'node:fs'
import { PassThrough, pipeline, type Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { DaybookError } from '../errors.js'
import { isWrittenByServer } from '../streams/access.js'

export interface Source {
  readonly bytes: Readable
  /** How much of it has been read, 0 to 1; undefined for standard input. */
  fraction(): number | undefined
}

/** @param file a path, or `-` for standard input @throws `bad-configuration` when it cannot be read */
export async function openSource(file: string): Promise<Source> {
  const raw = file === '-' ? process.stdin : await openFile(file)
  const size = file === '-' ? undefined : statSync(file).size
  let read = 0
  raw.on('data', (chunk: Buffer) => {
    read += chunk.length
  })
  raw.pause()
  const bytes = await unpacked(raw)
  return { bytes, fraction: () => (size === undefined ? undefined : read / size) }
}

function openFile(file: string): Promise<Readable> {
  return new Promise((resolve, reject) => {
    const stream = createReadStream(file, { highWaterMark: 256 * 1024 })
    stream.once('open', () => resolve(stream))
    stream.once('error', (cause) =>
      reject(new DaybookError('bad-configuration', `cannot read ${file}: ${cause.message}`, {}, cause))
    )
  })
}

/** gzip is known by its first two bytes, whatever the name. */
async function unpacked(raw: Readable): Promise<Readable> {
  const whole = new PassThrough({ highWaterMark: 256 * 1024 })
  pipeline(raw, whole, () => {})
  const head = await new Promise<Buffer>((resolve) => {
    const look = () => {
      const chunk = whole.read() as Buffer | null
      if (chunk === null && !whole.readableEnded) {
        whole.once('readable', look)
        whole.once('end', () => resolve(Buffer.alloc(0)))
        return
      }
      resolve(chunk ?? Buffer.alloc(0))
    }
    look()
  })
  if (head.length > 0) whole.unshift(head)
  if (head[0] !== 0x1f || head[1] !== 0x8b) return whole
  const gunzip = createGunzip()
  pipeline(whole, gunzip, () => {})
  return gunzip
}

/**
 * Gives an event its `occurred`, when it brings none: from a member of its own, or from the `created` it had in the
 * log it was exported from. The rest of the line stays byte for byte.
 * @param pointer JSON pointer to the member, when one was named
 * @throws `import-refused` when what stands there is no text
 */
export function withOccurred(line: Buffer, number: number, pointer: string | undefined): Buffer {
  let event: unknown
  try {
    event = JSON.parse(line.toString())
  } catch {
    return line // whoever reads it says better what is wrong
  }
  if (typeof event !== 'object' || event === null || 'occurred' in event) return line
  const instant = pointer === undefined ? (event as { created?: unknown }).created : at(event, pointer)
  if (instant === undefined || instant === null) return line
  if (typeof instant !== 'string') {
    throw new DaybookError('import-refused', `Line ${number}: what stands at ${pointer ?? '/created'} is no instant.`, {
      line: number
    })
  }
  const start = line.indexOf('{') + 1
  const rest = line.subarray(start)
  const comma = /^\s*\}/.test(rest.toString('latin1', 0, 100)) ? '' : ','
  return Buffer.concat([line.subarray(0, start), Buffer.from(`"occurred":${JSON.stringify(instant)}${comma}`), rest])
}

/** True for an event of a stream that a server keeps of itself: accounts, tokens, audit, consumers. */
export function isOfServer(line: Buffer): boolean {
  if (!line.includes('"$') && !line.includes('\\u')) return false
  try {
    const { stream } = JSON.parse(line.toString()) as { stream?: unknown }
    return typeof stream === 'string' && isWrittenByServer(stream)
  } catch {
    return false // whoever reads it says better what is wrong
  }
}

function at(value: unknown, pointer: string): unknown {
  for (const part of pointer.split('/').slice(1)) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~')
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
    value = (value as Record<string, unknown>)[name]
  }
  return value
}

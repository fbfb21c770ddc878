/** Streams of lines, a JSON value each. */
import { DaybookError } from './errors.js'
import { limits } from './limits.js'

/** A line may hold an event of the largest size with everything in it escaped. */
const LINE_BYTES_MAX = 2 * limits.event_bytes_max + 64 * 1024

/**
 * The lines of a byte stream, without their line breaks, in bounded memory.
 * @throws `event-too-large` for a line that no event can need, and what the stream throws
 */
export async function* splitLines(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let rest: Buffer[] = []
  let size = 0
  for await (const chunk of body) {
    let start = 0
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      const tail = chunk.subarray(start, end)
      yield rest.length === 0 ? tail : Buffer.concat([...rest, tail])
      rest = []
      size = 0
      start = end + 1
    }
    if (start === chunk.length) continue
    rest.push(chunk.subarray(start))
    size += chunk.length - start
    if (size > LINE_BYTES_MAX)
      throw new DaybookError('event-too-large', 'A line is longer than an event can be.', { limit: LINE_BYTES_MAX })
  }
  if (size > 0) yield Buffer.concat(rest)
}

/** Ids derived from names: the same name always gives the same id. */
import { createHash } from 'node:crypto'

/** Returns a UUID of version 5 (RFC 9562 §5.5), 16 bytes. @param namespace 16 bytes */
export function nameBasedId(namespace: Buffer, name: string | Buffer): Buffer {
  const id = createHash('sha1').update(namespace).update(name).digest().subarray(0, 16)
  id[6] = ((id[6] as number) & 0x0f) | 0x50
  id[8] = ((id[8] as number) & 0x3f) | 0x80
  return id
}

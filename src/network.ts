import { isIPv6 } from 'node:net'

/**
 * Whom an address counts for when requests, connections and wrong passwords are counted: an IPv4 address for itself, an
 * IPv6 address for the 64 bits at its beginning, since whoever has one has all that begin so.
 */
export function networkOf(address: string): string {
  const [plain = ''] = address.split('%')
  const v4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(plain)?.[1]
  if (v4 !== undefined) return v4
  if (!isIPv6(plain)) return address
  const [start = '', end] = plain.split('::')
  const groups = start === '' ? [] : start.split(':')
  if (end !== undefined) {
    const after = end === '' ? [] : end.split(':')
    // An IPv4 address at the end stands for two groups.
    const missing = 8 - groups.length - after.length - (end.includes('.') ? 1 : 0)
    groups.push(...Array<string>(missing).fill('0'), ...after)
  }
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`
}

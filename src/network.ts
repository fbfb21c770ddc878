/** Network addresses of clients and of the server. */
import { BlockList, isIP, isIPv6 } from 'node:net'

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')

/**
 * Returns true for loopback addresses, which only this machine can reach, and for `localhost`. Returns false for host
 * names such as `127.0.0.1.example`.
 */
export function isLoopback(host: string): boolean {
  const address = addressOf(host)
  const version = isIP(address)
  if (version === 0) return address === 'localhost'
  return LOOPBACK.check(address, version === 4 ? 'ipv4' : 'ipv6')
}

/**
 * Returns the network by which requests, connections and wrong passwords are counted. It is the whole address for IPv4.
 * For IPv6 it is the first 64 bits, because a client with one address of such a network can use all of them.
 */
export function networkOf(address: string): string {
  const plain = addressOf(address)
  const v4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(plain)?.[1]
  if (v4 !== undefined) return v4
  if (!isIPv6(plain)) return plain
  const [start = '', end] = plain.split('::')
  const groups = start === '' ? [] : start.split(':')
  if (end !== undefined) {
    const after = end === '' ? [] : end.split(':')
    // An IPv4 address at the end replaces two groups.
    const missing = 8 - groups.length - after.length - (end.includes('.') ? 1 : 0)
    groups.push(...Array<string>(missing).fill('0'), ...after)
  }
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`
}

/** Returns an address or host name without brackets, port (which some proxies add) and zone. */
export function addressOf(text: string): string {
  const [address = ''] = text.replace(/^\[([^\]]*)\](:\d+)?$|^(\d+(?:\.\d+){3}):\d+$/, '$1$3').split('%')
  return address
}

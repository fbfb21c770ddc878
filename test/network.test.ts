/** Client addresses. The holder of one IPv6 address has its whole /64 network, so limits count by network. */
import t from 'tap'
import { isLoopback, networkOf } from '../src/network.js'

t.test('an IPv4 address is its own network, and an IPv6 address belongs to its /64 network', async (t) => {
  const rows: [address: string, network: string][] = [
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2:ffff::', '2001:db8:1:2::/64'],
    ['2001:0DB8:0001:0002::9', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:db8::1:2:3:4:5', '2001:db8:0:1::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['64:ff9b::192.0.2.1', '64:ff9b:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['203.0.113.1:4711', '203.0.113.1'],
    ['[2001:db8:1:2::9]:4711', '2001:db8:1:2::/64'],
    ['', ''],
    ['unknown', 'unknown']
  ]
  for (const [address, network] of rows) t.equal(networkOf(address), network, address)
})

t.test('only addresses that no other machine can reach count as loopback', async (t) => {
  const local = ['localhost', '127.0.0.1', '127.9.9.9', '::1', '[::1]', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.1']
  for (const host of local) t.ok(isLoopback(host), host)
  const others = ['0.0.0.0', '::', '10.0.0.5', '127.evil.example', '127.0.0.1.example', 'localhost.example', '']
  for (const host of others) t.notOk(isLoopback(host), host)
})
